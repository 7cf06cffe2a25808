import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { View } from "../core/view.ts";
import { onStage, place } from "../core/view.ts";
import type { Session } from "../room/session.ts";
import { text } from "../text/text.ts";
import { Dialog } from "./dialog.tsx";
import { useApp, useBusy, useStore } from "./hooks.ts";
import { Door, Hand, HandDown, Play, Steps, Stop } from "./icons.tsx";
import { MicrophoneButton } from "./microphone.tsx";
import { NameField, useName } from "./name.tsx";

/** Dock is the bar at the thumb: what this person can do now. */
export function Dock({ session, view }: { session: Session; view: View }): JSX.Element {
  const { joined, blocked } = useStore(session.state);
  return (
    <section class="dock" aria-label={text.room.dock}>
      {!joined ? <Join session={session} /> : onStage(session.role) ? <OnStage session={session} view={view} /> : <Listening session={session} view={view} />}
      {joined && blocked && (
        <div class="blocked">
          <p>{text.room.blocked}</p>
          <button type="button" class="primary" onClick={() => session.unlock()}>
            <Play />
            {text.room.tap}
          </button>
        </div>
      )}
    </section>
  );
}

/** Join is the one tap: it says who comes in and starts the sound. */
function Join({ session }: { session: Session }): JSX.Element {
  const app = useApp();
  const [name, setName] = useName();
  const [busy, run] = useBusy();
  const submit = (event: Event) => {
    event.preventDefault();
    session.unlock();
    void run(async () => {
      await app.identify(name);
      session.join();
    });
  };
  const stage = onStage(session.role);
  return (
    <form class="join" onSubmit={submit}>
      <NameField value={name} change={setName} />
      <button type="submit" class="primary big" disabled={busy}>
        <Play />
        {stage ? text.room.enter : text.room.listen}
      </button>
      {!stage && <p class="soft fine">{text.room.noMicrophoneYet}</p>}
    </form>
  );
}

function Listening({ session, view }: { session: Session; view: View }): JSX.Element {
  const [busy, run] = useBusy();
  const waiting = place(view, session.me);
  const closed = waiting === 0 && view.policy?.requests === "closed";
  return (
    <>
      {waiting > 0 && <p class="dock-word">{text.room.waiting(waiting)}</p>}
      {closed && <p class="dock-word">{text.room.closed}</p>}
      <div class="dock-row">
        {waiting > 0 ? (
          <button type="button" class="plain grow" disabled={busy} onClick={() => void run(() => session.withdraw())}>
            <HandDown />
            {text.room.withdraw}
          </button>
        ) : (
          <button type="button" class="primary grow" disabled={busy || closed} onClick={() => void run(() => session.ask())}>
            <Hand />
            {text.room.ask}
          </button>
        )}
        <Leave session={session} />
      </div>
    </>
  );
}

function OnStage({ session, view }: { session: Session; view: View }): JSX.Element {
  const [busy, run] = useBusy();
  const [ending, setEnding] = useState(false);
  return (
    <div class="dock-stage">
      {session.role === "host" ? (
        <button type="button" class="side danger-words" onClick={() => setEnding(true)}>
          <Stop />
          {text.room.end}
        </button>
      ) : (
        <button type="button" class="side" disabled={busy} onClick={() => void run(() => session.stepDown())}>
          <Steps />
          {text.room.stepDown}
        </button>
      )}
      <MicrophoneButton session={session} view={view} />
      <Leave session={session} look="side" />
      {ending && <EndRoom session={session} close={() => setEnding(false)} />}
    </div>
  );
}

function Leave({ session, look = "plain" }: { session: Session; look?: "plain" | "side" }): JSX.Element {
  const app = useApp();
  const leave = () => {
    session.leave();
    app.say(text.announce.left);
  };
  return (
    <button type="button" class={look} onClick={leave}>
      <Door />
      {text.room.leave}
    </button>
  );
}

function EndRoom({ session, close }: { session: Session; close: () => void }): JSX.Element {
  const [busy, run] = useBusy();
  return (
    <Dialog title={text.room.endTitle} close={close}>
      <p class="soft">{text.room.endLead}</p>
      <div class="actions">
        <button type="button" class="plain" onClick={close}>
          {text.room.keep}
        </button>
        <button type="button" class="danger" disabled={busy} onClick={() => void run(() => session.end()).then((done) => done && close())}>
          {text.room.endConfirm}
        </button>
      </div>
    </Dialog>
  );
}
