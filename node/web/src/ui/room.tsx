import type { JSX } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import type { Phase } from "../core/line.ts";
import { linkOf } from "../core/place.ts";
import type { View } from "../core/view.ts";
import { moderates } from "../core/view.ts";
import { Session } from "../room/session.ts";
import { loadSettings } from "../room/settings.ts";
import { text } from "../text/text.ts";
import { Dock } from "./dock.tsx";
import { Farewell } from "./gone.tsx";
import { useApp, useStore, useTitle } from "./hooks.ts";
import { Back, Share } from "./icons.tsx";
import { Queue } from "./queue.tsx";
import { Stage } from "./stage.tsx";

/** Room is one room, from the first look to the last word. */
export function Room({ room }: { room: string }): JSX.Element {
  const app = useApp();
  useStore(app.state); // who this person is decides what is shown
  const session = useMemo(
    () =>
      new Session({
        room,
        api: app.api,
        route: app.route,
        settings: loadSettings(app.raw),
        identity: () => app.state.value.identity,
        renew: () => app.renew(),
        news: (news) => {
          const words = text.news(news);
          if (news.is === "on-stage" || news.is === "off-stage" || news.is === "retitled") app.say(words);
          else app.note(words);
        },
        trouble: (error) => app.trouble(error),
      }),
    [room],
  );
  useEffect(() => {
    session.open();
    return () => session.close();
  }, [session]);

  const { view, gone } = useStore(session.state);
  useTitle(view ? `${view.title} · ${text.product}` : text.product);
  useEnterCreated(session, view);
  useAnnouncedPhase(session);
  useLockScreen(session, view);

  if (gone === "unknown") return <Farewell title={text.gone.unknown} lead={text.gone.unknownLead} />;
  if (gone === "banned") return <Farewell title={text.gone.banned} lead={text.gone.bannedLead} />;
  if (gone === "removed") {
    const again = () => {
      session.unlock();
      session.join();
    };
    return (
      <Farewell title={text.gone.removed} lead={text.gone.removedLead}>
        <button type="button" class="primary" onClick={again}>
          {text.gone.again}
        </button>
      </Farewell>
    );
  }
  if (view?.state === "ended") return <Farewell title={text.gone.ended} lead={`${view.title}. ${text.gone.endedLead}`} />;
  return (
    <div class="room">
      <Bar session={session} room={room} />
      {view ? <Inside session={session} view={view} /> : <p class="opening soft">{text.room.loading}</p>}
    </div>
  );
}

function Inside({ session, view }: { session: Session; view: View }): JSX.Element {
  const { joined } = useStore(session.state);
  const host = view.participants[view.host]?.name;
  const runs = joined && moderates(session.role);
  return (
    <>
      <main class={runs ? "inside with-queue" : "inside"}>
        <header class="room-head">
          <h1 dir="auto">{view.title}</h1>
          {host !== undefined && (
            <p class="soft">
              <bdi>{text.room.hostedBy(host)}</bdi>
            </p>
          )}
          {view.description && <p class="about" dir="auto">{view.description}</p>}
        </header>
        <Stage session={session} view={view} />
        {runs && <Queue session={session} view={view} />}
      </main>
      <Dock session={session} view={view} />
    </>
  );
}

function Bar({ session, room }: { session: Session; room: string }): JSX.Element {
  const app = useApp();
  useStore(session.state);
  const share = async () => {
    const url = linkOf(location.origin, room);
    const title = session.state.value.view?.title ?? text.product;
    try {
      if ("share" in navigator) await navigator.share({ title, url });
      else {
        await (navigator as Navigator).clipboard.writeText(url);
        app.note(text.room.copied);
      }
    } catch (error) {
      if (!(error instanceof DOMException && error.name === "AbortError")) app.note(url); // then at least it can be read
    }
  };
  return (
    <header class="bar">
      <button type="button" class="round quiet" aria-label={text.room.back} title={text.room.back} onClick={() => app.go("/")}>
        <Back />
      </button>
      <PhasePill phase={session.phase} />
      <button type="button" class="round quiet" aria-label={text.room.share} title={text.room.share} onClick={() => void share()}>
        <Share />
      </button>
    </header>
  );
}

function PhasePill({ phase }: { phase: Phase }): JSX.Element {
  return (
    <span class={`pill ${phase}`} data-phase={phase}>
      <span class="dot" aria-hidden="true" />
      {text.phases[phase]}
    </span>
  );
}

/** useEnterCreated takes whoever opened the room straight in: opening it was the tap. */
function useEnterCreated(session: Session, view: View | null): void {
  const app = useApp();
  useEffect(() => {
    if (!view || app.state.value.created !== view.id) return;
    app.state.set({ created: null });
    session.unlock();
    session.join();
  }, [session, view?.id]);
}

/** useAnnouncedPhase says when the connection comes and goes, once each. */
function useAnnouncedPhase(session: Session): void {
  const app = useApp();
  const { phase } = session;
  const before = useRef<Phase>("preview");
  useEffect(() => {
    const was = before.current;
    before.current = phase;
    if (phase === "reconnecting" && was !== "preview") app.say(text.announce.reconnecting);
    if (phase === "live") app.say(was === "reconnecting" ? text.announce.back : text.announce.live);
  }, [phase]);
}

/** useLockScreen names the room where the system shows what plays, and lets it be stopped there. */
function useLockScreen(session: Session, view: View | null): void {
  const { joined } = useStore(session.state);
  const title = view?.title ?? "";
  const host = view?.participants[view.host]?.name ?? "";
  useEffect(() => {
    if (!joined || !("mediaSession" in navigator)) return;
    navigator.mediaSession.metadata = new MediaMetadata({ title, artist: host, album: text.product });
    navigator.mediaSession.playbackState = "playing";
    navigator.mediaSession.setActionHandler("stop", () => session.leave());
    return () => {
      navigator.mediaSession.metadata = null;
      navigator.mediaSession.playbackState = "none";
      navigator.mediaSession.setActionHandler("stop", null);
    };
  }, [session, joined, title, host]);
}
