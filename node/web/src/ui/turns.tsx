import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { View } from "../core/view.ts";
import { moderates } from "../core/view.ts";
import type { Session } from "../room/session.ts";
import { span, text } from "../text/text.ts";
import { Dialog } from "./dialog.tsx";
import { useBusy, useNow } from "./hooks.ts";

/** By how much a turn is made longer. */
const extendSeconds = 60;
/** Lengths of a turn that are offered, in seconds. */
const lengths = [30, 60, 120, 180, 300, 600];

/** Turn says whose turn it is and how much of it is left, to everybody; hosts can go on to the next, or give more. */
export function Turn({ session, view }: { session: Session; view: View }): JSX.Element | null {
  const now = useNow(500);
  const [busy, run] = useBusy();
  const { rotation } = view;
  if (!rotation) return null;
  const time = span((Date.parse(rotation.until ?? "") - now) / 1000 || 0);
  const name = view.participants[rotation.user]?.name ?? rotation.user;
  const words = rotation.user === "" ? text.turns.free : rotation.user === session.me ? text.turns.yours({ time }) : text.turns.left({ name, time });
  return (
    <section class={rotation.warned ? "turn ending" : "turn"} aria-label={text.turns.title}>
      <p role="timer">{words}</p>
      {moderates(session.role) && rotation.user !== "" && (
        <div class="actions start">
          <button type="button" class="plain" disabled={busy} onClick={() => void run(() => session.room.nextTurn())}>
            {text.turns.next}
          </button>
          <button type="button" class="plain" disabled={busy} onClick={() => void run(() => session.room.extendTurn(extendSeconds))}>
            {text.turns.extend({ n: extendSeconds })}
          </button>
        </div>
      )}
    </section>
  );
}

/** TurnsSheet begins, changes and ends the taking of turns. */
export function TurnsSheet({ session, view, close }: { session: Session; view: View; close: () => void }): JSX.Element {
  const [seconds, setSeconds] = useState(view.rotation?.turnSeconds ?? view.policy?.turnSeconds ?? 120);
  const [busy, run] = useBusy();
  const act = (work: () => Promise<void>) => void run(work).then((done) => done && close());
  const offered = lengths.includes(seconds) ? lengths : [...lengths, seconds].sort((a, b) => a - b);
  return (
    <Dialog title={text.turns.title} close={close}>
      <div class="form">
        <p class="soft">{text.turns.lead}</p>
        <label class="field">
          <span>{text.turns.seconds}</span>
          <select value={seconds} onChange={(event) => setSeconds(Number(event.currentTarget.value))}>
            {offered.map((each) => (
              <option key={each} value={each}>
                {text.turns.length({ n: each })}
              </option>
            ))}
          </select>
        </label>
        <div class="actions">
          {view.rotation && (
            <button type="button" class="plain" disabled={busy} onClick={() => act(() => session.room.stopRotation())}>
              {text.turns.stop}
            </button>
          )}
          <button type="button" class="primary" disabled={busy} onClick={() => act(() => session.room.rotate(seconds))}>
            {text.turns.start}
          </button>
        </div>
      </div>
    </Dialog>
  );
}
