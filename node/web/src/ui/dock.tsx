import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { View } from "../core/view.ts";
import { mayAsk, mayReact, onStage, place } from "../core/view.ts";
import type { Session } from "../room/session.ts";
import { text } from "../text/text.ts";
import { Dialog } from "./dialog.tsx";
import { CalendarLink } from "./calendar.tsx";
import { useApp, useBusy, useStore } from "./hooks.ts";
import { React } from "./react.tsx";
import { Check, Door, Hand, HandDown, Pencil, Play, Steps, Stop } from "./icons.tsx";
import { MicrophoneButton } from "./microphone.tsx";
import { Wait } from "./wait.tsx";
import { NameField, useName } from "./name.tsx";

/** Dock is the bar at the thumb: what this person can do now. */
export function Dock({ session, view }: { session: Session; view: View }): JSX.Element {
  const { joined, blocked } = useStore(session.state);
  const inviter = session.me === undefined ? undefined : view.invitations[session.me]?.by;
  return (
    <section class="dock" aria-label={text.room.dock}>
      {view.state === "scheduled" ? (
        <Scheduled session={session} view={view} />
      ) : !joined ? (
        <Join session={session} view={view} />
      ) : inviter !== undefined ? (
        <Invitation session={session} by={view.participants[inviter]?.name ?? inviter} />
      ) : onStage(session.role) ? (
        <OnStage session={session} view={view} />
      ) : (
        <Listening session={session} view={view} />
      )}
      {joined && mayReact(view, session.role) && <React session={session} />}
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

/** Scheduled is what can be done before a room is live: its host starts it, everybody else notes when it begins. */
function Scheduled({ session, view }: { session: Session; view: View }): JSX.Element {
  const [busy, run] = useBusy();
  const start = () => {
    session.unlock();
    void run(async () => {
      await session.room.start();
      session.join();
    });
  };
  return (
    <div class="dock-row">
      {session.role === "host" && (
        <button type="button" class="primary grow" disabled={busy} onClick={start}>
          <Play />
          {text.room.start}
        </button>
      )}
      <CalendarLink room={{ id: view.id, title: view.title, startsAt: view.startsAt ?? null, seq: view.seq, description: view.description ?? "" }} />
    </div>
  );
}

/** Which version of a room's rules this visit has agreed to. */
const agreedTo = new Map<string, number>();

/** Join is the one tap: it says who comes in, shows the rules of the house once, and starts the sound. */
function Join({ session, view }: { session: Session; view: View }): JSX.Element {
  const app = useApp();
  const [name, setName] = useName();
  const [busy, run] = useBusy();
  const stage = onStage(session.role);
  const version = view.rulesVersion ?? 1;
  const rules = stage || agreedTo.get(view.id) === version ? "" : (view.rules ?? "");
  const submit = (event: Event) => {
    event.preventDefault();
    session.unlock();
    void run(async () => {
      await app.identify(name);
      agreedTo.set(view.id, version);
      session.join();
      const { place } = app.state.value;
      if (place.key !== "" && !onStage(session.role)) await app.useKey(() => session.room.takeLink(place.key));
      else if (place.speak && !onStage(session.role) && mayAsk(view, session.me)) await session.room.request("");
    });
  };
  return (
    <form class="join" onSubmit={submit}>
      <NameField value={name} change={setName} />
      {rules !== "" && (
        <div class="house-rules">
          <h2>{text.room.rules}</h2>
          <p class="about" dir="auto" tabIndex={0}>
            {rules}
          </p>
          <label class="check">
            <input type="checkbox" required />
            <span>{text.room.rulesAgree}</span>
          </label>
        </div>
      )}
      <button type="submit" class="primary big" disabled={busy}>
        <Play />
        {stage ? text.room.enter : text.room.listen}
      </button>
      {!stage && <p class="soft fine">{text.room.noMicrophoneYet}</p>}
    </form>
  );
}

/** Invitation waits for a yes or a no; nobody comes on stage without it. */
function Invitation({ session, by }: { session: Session; by: string }): JSX.Element {
  const [busy, run] = useBusy();
  const me = session.me ?? "";
  return (
    <>
      <p class="dock-word">{text.room.invited({ name: by })}</p>
      <div class="dock-row">
        <button type="button" class="plain" disabled={busy} onClick={() => void run(() => session.room.decline(me))}>
          {text.room.decline}
        </button>
        <button type="button" class="primary grow" disabled={busy} onClick={() => void run(() => session.room.accept(me))}>
          <Check />
          {text.room.accept}
        </button>
      </div>
    </>
  );
}

function Listening({ session, view }: { session: Session; view: View }): JSX.Element {
  const [busy, run] = useBusy();
  const [note, setNote] = useState<string | null>(null); // null: nothing is being written
  const waiting = place(view, session.me);
  const may = mayAsk(view, session.me);
  const submit = (event: Event) => {
    event.preventDefault();
    void run(() => session.room.request((note ?? "").trim())).then((done) => done && setNote(null));
  };
  if (waiting > 0) {
    return (
      <>
        <p class="dock-word">
          {waiting === 1 ? text.room.next : text.room.place({ n: waiting })}
          <span class="soft">
            <Wait view={view} place={waiting} />
          </span>
        </p>
        <div class="dock-row">
          <button type="button" class="plain grow" disabled={busy} onClick={() => void run(() => session.room.withdraw())}>
            <HandDown />
            {text.room.withdraw}
          </button>
          <Leave session={session} />
        </div>
      </>
    );
  }
  return (
    <form class="join" onSubmit={submit}>
      {!may && <p class="dock-word">{view.policy?.requests === "closed" ? text.room.closed : text.room.invitedOnly}</p>}
      {may && note !== null && (
        <label class="field">
          <span>{text.room.askNote}</span>
          <input maxLength={280} autocomplete="off" value={note} ref={focusOnce} onInput={(event) => setNote(event.currentTarget.value)} />
        </label>
      )}
      <div class="dock-row">
        <button type="submit" class="primary grow" disabled={busy || !may}>
          <Hand />
          {text.room.ask}
        </button>
        {may && note === null && (
          <button type="button" class="round quiet" aria-label={text.room.askNote} title={text.room.askNote} onClick={() => setNote("")}>
            <Pencil />
          </button>
        )}
        <Leave session={session} />
      </div>
    </form>
  );
}

/** focusOnce puts the cursor where somebody has just asked to write. */
const focusOnce = (element: HTMLInputElement | null): void => element?.focus();

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
        <button type="button" class="danger" disabled={busy} onClick={() => void run(() => session.room.end()).then((done) => done && close())}>
          {text.room.endConfirm}
        </button>
      </div>
    </Dialog>
  );
}
