import type { JSX } from "preact";
import type { View } from "../core/view.ts";
import type { Session } from "../room/session.ts";
import { text } from "../text/text.ts";
import { Avatar } from "./avatar.tsx";
import { useStore } from "./hooks.ts";
import type { Chosen } from "./person.tsx";

/** Crowd is a sample of those who listen, and how many they are: enough to see that the room is full, whatever its size. */
export function Crowd({ session, view, choose, everybody }: { session: Session; view: View; choose: (person: Chosen) => void; everybody: () => void }): JSX.Element | null {
  const { listeners, roster: sample } = useStore(session.presence);
  const roster = sample.filter(({ user }) => !view.participants[user]); // who is on stage is seen there
  if (listeners === 0) return null;
  const more = listeners - sample.length;
  return (
    <section class="crowd" aria-labelledby="listening">
      <h2 id="listening">
        {text.room.crowd}
        <span class="count">{text.lobby.listening({ n: listeners })}</span>
      </h2>
      <ul class="faces">
        {roster.map((one) => (
          <li key={one.user}>
            <button type="button" class="face" onClick={() => choose(one)}>
              <Avatar user={one.user} name={one.name} picture={one.avatar ?? ""} />
              <span class="face-name">
                <bdi>{one.name}</bdi>
              </span>
            </button>
          </li>
        ))}
      </ul>
      {session.me !== undefined && (
        <button type="button" class="link" onClick={everybody}>
          {text.room.everybody}
          {more > 0 && roster.length > 0 && <span class="soft">{text.room.crowdMore({ n: more })}</span>}
        </button>
      )}
    </section>
  );
}
