import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { linkOf } from "../core/place.ts";
import { text } from "../text/text.ts";
import { Dialog } from "./dialog.tsx";
import { useApp } from "./hooks.ts";
import { Copy, Share } from "./icons.tsx";

/** ShareSheet hands the room's link on: by the system's own sheet, as a copy, as a picture for another phone's camera. */
export function ShareSheet({ room, title, hosts, close }: { room: string; title: string; hosts: boolean; close: () => void }): JSX.Element {
  const listeners = linkOf(location.origin, room);
  return (
    <Dialog title={text.share.title} close={close}>
      <Link label={text.share.listeners} url={listeners} title={title} />
      <QR url={listeners} />
      {hosts && (
        <>
          <Link label={text.share.speakers} url={`${listeners}?speak`} title={title} />
          <p class="soft fine">{text.share.speakersLead}</p>
        </>
      )}
    </Dialog>
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
