import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Participant, View } from "../core/view.ts";
import { outranks, stage } from "../core/view.ts";
import type { Session } from "../room/session.ts";
import { text } from "../text/text.ts";
import { Avatar } from "./avatar.tsx";
import { Dialog } from "./dialog.tsx";
import { Dome } from "./dome.tsx";
import { useBusy, useStore } from "./hooks.ts";
import { MicOff } from "./icons.tsx";

type Person = Participant & { user: string };

/** Stage shows who may be heard and, by a ring in step with the sound, who is. */
export function Stage({ session, view }: { session: Session; view: View }): JSX.Element {
  const { speaking, joined } = useStore(session.state);
  const [chosen, setChosen] = useState<string | null>(null);
  const people = stage(view);
  const person = people.find((each) => each.user === chosen);
  return (
    <section class="stage" aria-labelledby="on-stage">
      <Dome lit={speaking.length > 0} />
      <h2 id="on-stage" class="stage-title">
        {text.room.stage}
      </h2>
      <ul class="people">
        {people.map((each) => (
          <li key={each.user}>
            <Tile
              person={each}
              self={each.user === session.me}
              speaking={speaking.includes(each.ssrc)}
              choose={joined && each.user !== session.me && outranks(session.role, each.role) && session.role !== "speaker" ? () => setChosen(each.user) : undefined}
            />
          </li>
        ))}
      </ul>
      {person && <PersonSheet session={session} person={person} close={() => setChosen(null)} />}
    </section>
  );
}

function Tile({ person, self, speaking, choose }: { person: Person; self: boolean; speaking: boolean; choose: (() => void) | undefined }): JSX.Element {
  const role = text.roles[person.role];
  const state = !person.live ? text.person.off : person.muted ? text.person.muted : "";
  const inside = (
    <>
      <span class="ring">
        <Avatar user={person.user} name={person.name} size="large" />
        {state !== "" && (
          <span class="badge">
            <MicOff />
          </span>
        )}
      </span>
      <span class="person-name">
        <bdi>{person.name}</bdi>
      </span>
      <span class="person-role">{self ? text.room.self(role) : role}</span>
      {!choose && state !== "" && <span class="hidden">{state}</span>}
    </>
  );
  // What changes with every word is on the element, for the eye and for tests; a screen reader hears the words themselves.
  const marks = { "data-user": person.user, "data-speaking": speaking, "data-muted": person.muted, "data-live": person.live };
  return choose ? (
    <button type="button" class="person" {...marks} aria-label={text.person.open(person.name, role, state)} onClick={choose}>
      {inside}
    </button>
  ) : (
    <div class="person" {...marks}>
      {inside}
    </div>
  );
}

/** PersonSheet holds what a host or co-host may do to somebody of a lower role. */
function PersonSheet({ session, person, close }: { session: Session; person: Person; close: () => void }): JSX.Element {
  const [ban, setBan] = useState(false);
  const [busy, run] = useBusy();
  const act = (work: () => Promise<unknown>) => void run(work).then((done) => done && close());
  return (
    <Dialog title={person.name} close={close}>
      <div class="sheet-person">
        <Avatar user={person.user} name={person.name} size="large" />
        <p class="soft">{text.roles[person.role]}</p>
      </div>
      <div class="stack">
        <button type="button" class="plain" disabled={busy || person.muted} onClick={() => act(() => session.mute(person.user))}>
          <MicOff />
          {text.person.mute}
        </button>
        <button type="button" class="plain" disabled={busy} onClick={() => act(() => session.setRole(person.user, "listener"))}>
          {text.person.toListeners}
        </button>
        <div class="danger-zone">
          <button type="button" class="danger" disabled={busy} onClick={() => act(() => session.remove(person.user, ban))}>
            {text.person.remove}
          </button>
          <label class="check">
            <input type="checkbox" checked={ban} onChange={(event) => setBan(event.currentTarget.checked)} />
            <span>{text.person.ban}</span>
          </label>
        </div>
      </div>
    </Dialog>
  );
}
