import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { View } from "../core/view.ts";
import { moderates, onStage, pins } from "../core/view.ts";
import type { Session } from "../room/session.ts";
import { text } from "../text/text.ts";
import { Dialog } from "./dialog.tsx";
import { useBusy } from "./hooks.ts";
import { Check, Cross, Plus } from "./icons.tsx";

/** Pins are the links that the room shows, and for those who may know the ones that wait for a host. */
export function Pins({ session, view, add }: { session: Session; view: View; add: (() => void) | undefined }): JSX.Element | null {
  const list = pins(view);
  if (list.length === 0) return null;
  return (
    <section class="pins" aria-labelledby="pins">
      <h2 id="pins">{text.pins.title}</h2>
      <ul>
        {list.map((pin) => (
          <PinRow key={pin.id} session={session} pin={pin} />
        ))}
      </ul>
      {add && (
        <button type="button" class="link" onClick={add}>
          <Plus />
          {moderates(session.role) ? text.pins.add : text.pins.propose}
        </button>
      )}
    </section>
  );
}

function PinRow({ session, pin }: { session: Session; pin: ReturnType<typeof pins>[number] }): JSX.Element {
  const [busy, run] = useBusy();
  const runs = moderates(session.role);
  const address = addressOf(pin.url);
  return (
    <li class="pin">
      <span class="row-words">
        {address ? (
          <a href={address.href} target="_blank" rel="noopener noreferrer nofollow ugc">
            <bdi>{pin.note || address.host}</bdi>
          </a>
        ) : (
          <bdi>{pin.note || pin.url}</bdi>
        )}
        {/* The host is always shown: a note may say anything. */}
        <span class="soft fine">
          {address && <span dir="ltr">{address.host}</span>} <bdi>{text.pins.by({ name: pin.name })}</bdi> {!pin.approved && ` · ${text.pins.waiting}`}
        </span>
      </span>
      {runs && !pin.approved && (
        <button type="button" class="round quiet" disabled={busy} aria-label={text.pins.show} title={text.pins.show} onClick={() => void run(() => session.room.approvePin(pin.id))}>
          <Check />
        </button>
      )}
      {(runs || pin.user === session.me) && (
        <button type="button" class="round quiet" disabled={busy} aria-label={text.pins.take} title={text.pins.take} onClick={() => void run(() => session.room.unpin(pin.id))}>
          <Cross />
        </button>
      )}
    </li>
  );
}

/** addressOf is a link that may be followed: to the web, and to nothing that a page can be made to run. */
function addressOf(url: string): { href: string; host: string } | null {
  try {
    const { protocol, href, host } = new URL(url);
    return protocol === "https:" || protocol === "http:" ? { href, host } : null;
  } catch {
    return null;
  }
}

/** PinForm proposes a link; a host's is shown at once. */
export function PinForm({ session, close }: { session: Session; close: () => void }): JSX.Element {
  const [url, setURL] = useState("https://");
  const [note, setNote] = useState("");
  const [busy, run] = useBusy();
  const submit = (event: Event) => {
    event.preventDefault();
    void run(() => session.room.pin(url.trim(), note.trim())).then((done) => done && close());
  };
  return (
    <Dialog title={onStage(session.role) && moderates(session.role) ? text.pins.add : text.pins.propose} close={close}>
      <form class="form" onSubmit={submit}>
        <label class="field">
          <span>{text.pins.url}</span>
          <input type="url" required maxLength={2048} dir="ltr" value={url} onInput={(event) => setURL(event.currentTarget.value)} />
        </label>
        <label class="field">
          <span>{text.pins.note}</span>
          <input maxLength={280} value={note} onInput={(event) => setNote(event.currentTarget.value)} />
        </label>
        <div class="actions">
          <button type="submit" class="primary" disabled={busy}>
            {moderates(session.role) ? text.pins.add : text.pins.propose}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
