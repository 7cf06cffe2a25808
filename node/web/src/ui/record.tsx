import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Decision } from "../core/room-api.ts";
import type { View } from "../core/view.ts";
import { talkShares } from "../core/view.ts";
import type { Session } from "../room/session.ts";
import { clock, percent, span, text } from "../text/text.ts";
import { Dialog } from "./dialog.tsx";
import { useApp } from "./hooks.ts";

/** Longest record that is read at once. */
const eventsMax = 1_000;

/** RecordSheet is who decided what about the room and its people, the newest first. */
export function RecordSheet({ session, view, close }: { session: Session; view: View; close: () => void }): JSX.Element {
  const app = useApp();
  const [events, setEvents] = useState<Decision[] | null>(null);
  useEffect(() => {
    void app.attempt(async () => {
      const all: Decision[] = [];
      for (let next = "", more = true; more && all.length < eventsMax; more = next !== "") {
        const page = await session.room.record(next);
        all.push(...page.events);
        next = page.next;
      }
      setEvents(all.reverse());
    });
  }, []);
  const names = new Map(app.names);
  for (const event of [...(events ?? [])].reverse()) if (event.user && event.name) names.set(event.user, event.name);
  for (const one of session.presence.value.roster) names.set(one.user, one.name);
  for (const [user, person] of Object.entries(view.participants)) names.set(user, person.name);
  const nameOf = (user: string) => names.get(user) ?? user;
  const told = events?.filter((event) => words(event, nameOf) !== null);
  return (
    <Dialog title={text.record.title} close={close}>
      {told?.length === 0 && <p class="soft">{text.record.none}</p>}
      <ol class="record">
        {told?.map((event) => (
          <li key={event.seq}>
            <time class="soft fine" dateTime={event.at}>
              {clock(event.at)}
            </time>
            <span>
              <bdi class="row-name">{event.by ? nameOf(event.by) : text.record.nobody}</bdi> <bdi>{words(event, nameOf)}</bdi>
              {event.reason && (
                <bdi class="soft record-reason">{event.reason}</bdi>
              )}
            </span>
          </li>
        ))}
      </ol>
    </Dialog>
  );
}

/** words is a decision in words; null for one that is about machines and not about people. */
function words(event: Decision, nameOf: (user: string) => string): string | null {
  const say = text.record;
  const name = event.user ? nameOf(event.user) : "";
  switch (event.type) {
    case "created":
    case "started":
      return say.started;
    case "ended":
      return say.ended;
    case "edited":
      return say.edited({ title: event.title ?? "" });
    case "refreshed":
      return say.refreshed;
    case "locked":
      return say.locked;
    case "unlocked":
      return say.unlocked;
    case "approved":
      return say.approved({ name });
    case "denied":
      return say.denied({ name });
    case "invited":
      return say.invited({ name });
    case "declined": // by the one who was invited it is no decision about anybody
      return event.by === event.user ? null : say.uninvited({ name });
    case "accepted":
      return say.accepted;
    case "role":
    case "claimed":
      return say.role({ name, role: text.roles[event.role ?? "listener"] });
    case "succeeded":
      return say.succeeded({ name });
    case "muted":
      return event.by === event.user ? null : say.muted({ name });
    case "muted_all":
      return say.muted({ name: say.everybody });
    case "warned":
      return say.warned({ name });
    case "removed":
      return event.ban ? say.banned({ name }) : say.removed({ name });
    case "unbanned":
      return say.unbanned({ name });
    case "pinned":
      return say.pinned;
    case "unpinned":
      return say.unpinned;
    case "rotation_started":
      return say.rotation;
    case "rotation_stopped":
      return say.rotationEnd;
    case "turn_extended":
      return say.turnExtended({ name });
    case "turn_ended":
      return say.turnEnded({ name });
    case "link_opened":
      return say.linkMade;
    case "link_closed":
      return say.linkTaken;
    default:
      return null;
  }
}

/** TalkSheet is how much of the time that people were heard each has had. */
export function TalkSheet({ view, close }: { view: View; close: () => void }): JSX.Element {
  const shares = talkShares(view);
  return (
    <Dialog title={text.host.talk} close={close}>
      {shares.length === 0 && <p class="soft">{text.host.talkNone}</p>}
      <ul class="talk">
        {shares.map(({ user, seconds, share }) => (
          <li key={user}>
            <bdi class="row-name">{view.participants[user]?.name ?? user}</bdi>
            <span class="soft">{text.host.share({ percent: percent(share), time: span(seconds) })}</span>
            <progress max={1} value={share} aria-label={view.participants[user]?.name ?? user} />
          </li>
        ))}
      </ul>
    </Dialog>
  );
}
