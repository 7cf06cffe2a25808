import type { JSX } from "preact";
import type { Participant, View } from "../core/view.ts";
import { stage } from "../core/view.ts";
import type { Session } from "../room/session.ts";
import { text } from "../text/text.ts";
import { Avatar } from "./avatar.tsx";
import { Dome } from "./dome.tsx";
import { useStore } from "./hooks.ts";
import { MicOff } from "./icons.tsx";
import type { Chosen } from "./person.tsx";
import { Floats } from "./react.tsx";

/** Stage shows who may be heard and, by a ring in step with the sound, who is. */
export function Stage({ session, view, choose }: { session: Session; view: View; choose: (person: Chosen) => void }): JSX.Element {
  const { speaking } = useStore(session.state);
  return (
    <section class="stage" aria-labelledby="on-stage">
      <Dome lit={speaking.length > 0} />
      <h2 id="on-stage" class="stage-title">
        {text.room.stage}
      </h2>
      <ul class="people">
        {stage(view).map((each) => (
          <li key={each.user}>
            <Tile person={each} self={each.user === session.me} speaking={speaking.includes(each.ssrc)} choose={() => choose(each)} />
          </li>
        ))}
      </ul>
      <Floats session={session} />
    </section>
  );
}

function Tile({ person, self, speaking, choose }: { person: Participant & { user: string }; self: boolean; speaking: boolean; choose: () => void }): JSX.Element {
  const role = self ? text.room.self({ role: text.roles[person.role] }) : text.roles[person.role];
  const state = person.away ? text.person.away : !person.live ? text.person.off : person.muted ? text.person.muted : "";
  return (
    // What changes with every word is on the element, for the eye and for tests; a screen reader hears the words themselves.
    <button
      type="button"
      class="person"
      data-user={person.user}
      data-speaking={speaking}
      data-muted={person.muted}
      data-live={person.live}
      onClick={choose}
    >
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
      <span class="hidden">, </span>
      <span class="person-role">{role}</span>
      {state !== "" && <span class="hidden">, {state}</span>}
    </button>
  );
}
