import type { JSX } from "preact";
import type { View } from "../core/view.ts";
import { queue } from "../core/view.ts";
import type { Session } from "../room/session.ts";
import { ago, text } from "../text/text.ts";
import { Avatar } from "./avatar.tsx";
import { useApp, useBusy, useNow, useStore } from "./hooks.ts";
import { Check, Cross } from "./icons.tsx";

/** Queue is what hosts and co-hosts see of those who ask to speak, in the order in which they asked. */
export function Queue({ session, view }: { session: Session; view: View }): JSX.Element {
  const now = useNow(20_000);
  const requests = queue(view);
  return (
    <section class="queue" aria-labelledby="asking">
      <h2 id="asking">
        {text.queue.title}
        {requests.length > 0 && <span class="count">{requests.length}</span>}
      </h2>
      {requests.length === 0 && <p class="soft">{text.queue.none}</p>}
      <ol>
        {requests.map((request) => (
          <li key={request.user}>
            <Request session={session} user={request.user} name={request.name} note={request.note ?? ""} since={ago(request.at, now)} />
          </li>
        ))}
      </ol>
      <Invited session={session} view={view} />
    </section>
  );
}

/** Invited are those whose answer is waited for. */
function Invited({ session, view }: { session: Session; view: View }): JSX.Element | null {
  const app = useApp();
  const { roster } = useStore(session.presence);
  const users = Object.keys(view.invitations).sort();
  if (users.length === 0) return null;
  return (
    <>
      <h3>{text.queue.waiting}</h3>
      <ul>
        {users.map((user) => {
          const name = app.names.get(user) ?? roster.find((one) => one.user === user)?.name ?? user;
          return (
            <li key={user} class="request">
              <Avatar user={user} name={name} />
              <span class="request-words">
                <bdi class="request-name">{name}</bdi>
              </span>
              <button type="button" class="round quiet" aria-label={text.queue.takeBack({ name })} onClick={() => void app.attempt(() => session.room.decline(user))}>
                <Cross />
              </button>
            </li>
          );
        })}
      </ul>
    </>
  );
}

function Request(props: { session: Session; user: string; name: string; note: string; since: string }): JSX.Element {
  const { session, user, name, note, since } = props;
  const [busy, run] = useBusy();
  return (
    <div class="request">
      <Avatar user={user} name={name} />
      <span class="request-words">
        <bdi class="request-name">{name}</bdi>
        <bdi class="soft">{note || since}</bdi>
      </span>
      <button type="button" class="round quiet" disabled={busy} aria-label={text.queue.deny({ name })} title={text.queue.denyShort} onClick={() => void run(() => session.room.deny(user))}>
        <Cross />
      </button>
      <button
        type="button"
        class="round primary"
        disabled={busy}
        aria-label={text.queue.approve({ name })}
        title={text.queue.approveShort}
        onClick={() => void run(() => session.room.approve(user))}
      >
        <Check />
      </button>
    </div>
  );
}
