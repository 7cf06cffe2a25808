import type { JSX } from "preact";
import type { View } from "../core/view.ts";
import { queue } from "../core/view.ts";
import type { Session } from "../room/session.ts";
import { ago, text } from "../text/text.ts";
import { Avatar } from "./avatar.tsx";
import { useBusy, useNow } from "./hooks.ts";
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
    </section>
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
      <button type="button" class="round quiet" disabled={busy} aria-label={text.queue.deny(name)} title={text.queue.denyShort} onClick={() => void run(() => session.deny(user))}>
        <Cross />
      </button>
      <button type="button" class="primary" disabled={busy} aria-label={text.queue.approve(name)} onClick={() => void run(() => session.approve(user))}>
        <Check />
        {text.queue.approveShort}
      </button>
    </div>
  );
}
