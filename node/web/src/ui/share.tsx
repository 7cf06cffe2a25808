import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { linkOf, newKey, speakersLinkOf } from "../core/place.ts";
import type { View } from "../core/view.ts";
import { moderates } from "../core/view.ts";
import type { MadeLink } from "../room/links.ts";
import { keepLink, loadLink } from "../room/links.ts";
import type { Session } from "../room/session.ts";
import { text } from "../text/text.ts";
import { Dialog } from "./dialog.tsx";
import { useApp, useBusy } from "./hooks.ts";
import { Copy, Share } from "./icons.tsx";

/** ShareSheet hands the room's link on: by the system's own sheet, as a copy, as a picture for another phone's camera. */
export function ShareSheet({ session, view, close }: { session: Session; view: View; close: () => void }): JSX.Element {
  const listeners = linkOf(location.origin, view.id);
  return (
    <Dialog title={text.share.title} close={close}>
      <Link label={text.share.listeners} url={listeners} title={view.title} />
      <QR url={listeners} />
      {moderates(session.role) && view.state === "live" && <Speakers session={session} view={view} />}
    </Dialog>
  );
}

/** Speakers makes the link by which people are invited to the stage, shows it where it was made, and takes it back. */
function Speakers({ session, view }: { session: Session; view: View }): JSX.Element {
  const [made, setMade] = useState<MadeLink | null>(null);
  const [busy, run] = useBusy();
  const at = view.speakerLink?.at ?? "";
  const key = made?.at === at ? made.key : loadLink(view.id, at);
  const make = () =>
    void run(async () => {
      const fresh = newKey(crypto.getRandomValues(new Uint8Array(18)));
      const link = { key: fresh, at: await session.room.openLink(fresh) };
      keepLink(view.id, link);
      setMade(link);
    });
  return (
    <div class="share-link">
      {at !== "" && key !== "" ? <Link label={text.share.speakers} url={speakersLinkOf(location.origin, view.id, key)} title={view.title} /> : <h3>{text.share.speakers}</h3>}
      <p class="soft fine">{at !== "" && key === "" ? text.share.elsewhere : text.share.speakersLead}</p>
      <div class="actions start">
        {(at === "" || key === "") && (
          <button type="button" class="plain" disabled={busy} onClick={make}>
            {text.share.make}
          </button>
        )}
        {at !== "" && (
          <button type="button" class="plain" disabled={busy} onClick={() => void run(() => session.room.closeLink())}>
            {text.share.takeBack}
          </button>
        )}
      </div>
    </div>
  );
}

function Link({ label, url, title }: { label: string; url: string; title: string }): JSX.Element {
  const app = useApp();
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(url);
      app.note(text.share.copied);
    } catch {
      app.note(url); // then at least it can be read
    }
  };
  const send = async () => {
    try {
      await navigator.share({ title, url });
    } catch (error) {
      if (!(error instanceof DOMException && error.name === "AbortError")) await copy();
    }
  };
  return (
    <section class="share-link" aria-label={label}>
      <h3>{label}</h3>
      <p class="link-text" dir="ltr">
        {url}
      </p>
      <div class="actions start">
        <button type="button" class="plain" onClick={() => void copy()}>
          <Copy />
          {text.share.copy}
        </button>
        {"share" in navigator && (
          <button type="button" class="plain" onClick={() => void send()}>
            <Share />
            {text.share.send}
          </button>
        )}
      </div>
    </section>
  );
}

/** QR draws the link; what computes it comes only when somebody looks. */
function QR({ url }: { url: string }): JSX.Element | null {
  const [code, setCode] = useState<{ size: number; path: string } | null>(null);
  useEffect(() => {
    let here = true;
    void import("uqr").then(
      ({ encode }) => {
        const { data, size } = encode(url, { ecc: "M", border: 4 });
        const path = data.map((row, y) => row.map((dark, x) => (dark ? `M${x} ${y}h1v1h-1z` : "")).join("")).join("");
        if (here) setCode({ size, path });
      },
      () => undefined, // the link can still be copied
    );
    return () => {
      here = false;
    };
  }, [url]);
  if (!code) return null;
  return (
    <svg class="qr" role="img" aria-label={text.share.qr} viewBox={`0 0 ${code.size} ${code.size}`} shape-rendering="crispEdges">
      <rect width={code.size} height={code.size} fill="#fff" />
      <path d={code.path} fill="#000" />
    </svg>
  );
}
