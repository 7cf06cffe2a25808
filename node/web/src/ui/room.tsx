import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Phase } from "../core/line.ts";
import type { News } from "../core/news.ts";
import type { View } from "../core/view.ts";
import { moderates, onStage } from "../core/view.ts";
import { Session } from "../room/session.ts";
import { loadSettings } from "../room/settings.ts";
import { tell } from "../text/tell.ts";
import { list, text, when } from "../text/text.ts";
import { Crowd } from "./crowd.tsx";
import { Dock } from "./dock.tsx";
import { Farewell } from "./gone.tsx";
import { useApp, useNow, useStore, useTitle } from "./hooks.ts";
import { Back, Lock, More, Share } from "./icons.tsx";
import type { Sheet } from "./menu.tsx";
import type { Chosen } from "./person.tsx";
import { Sheets } from "./menu.tsx";
import { Pins } from "./pins.tsx";
import { Queue } from "./queue.tsx";
import { Stage } from "./stage.tsx";
import { Turn } from "./turns.tsx";
import { Waiting } from "./wait.tsx";

/** What is seen anyway: it is said to those who do not see it, and no note covers the room for it. */
const quiet: ReadonlySet<News["is"]> = new Set(["on-stage", "off-stage", "retitled", "warned", "your-turn-ends", "locked", "unlocked"]);

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
          const words = tell(news);
          if (quiet.has(news.is)) app.say(words);
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

  const { view, gone, goneReason, kept } = useStore(session.state);
  const [sheet, open] = useState<Sheet | null>(null);
  useTitle(view ? `${view.title} · ${text.product}` : text.product);
  useEnterCreated(session, view);
  useAnnouncedPhase(session);
  useLockScreen(session, view);
  useAwake(useStore(session.state).microphone === "on");

  if (gone === "unknown") return <Farewell title={text.gone.unknown} lead={text.gone.unknownLead} />;
  if (gone === "banned") return <Farewell title={text.gone.banned} lead={text.gone.bannedLead} reason={goneReason} />;
  if (gone === "removed") {
    const again = () => {
      session.unlock();
      session.join();
    };
    return (
      <Farewell title={text.gone.removed} lead={text.gone.removedLead} reason={goneReason}>
        <button type="button" class="primary" onClick={again}>
          {text.gone.again}
        </button>
      </Farewell>
    );
  }
  if (!view && kept?.away) return <Farewell title={text.gone.away({ regions: list(kept.regions) })} lead={text.gone.awayLead} />;
  if (view?.state === "ended") return <Farewell title={text.gone.ended} lead={`${view.title}. ${text.gone.endedLead}`} />;
  return (
    <div class="room">
      <Bar session={session} open={open} />
      {view ? <Inside session={session} view={view} open={open} /> : <p class="opening soft">{kept ? text.room.going({ regions: list(kept.regions) }) : text.room.loading}</p>}
      {view && <Sheets session={session} view={view} sheet={sheet} open={open} />}
    </div>
  );
}

function Inside({ session, view, open }: { session: Session; view: View; open: (sheet: Sheet) => void }): JSX.Element {
  const app = useApp();
  const { joined } = useStore(session.state);
  const choose = (person: Chosen) => {
    app.names.set(person.user, person.name);
    open({ is: "person", person: { user: person.user, name: person.name } });
  };
  const runs = joined && moderates(session.role);
  return (
    <>
      <main class={runs ? "inside with-queue" : "inside"}>
        <header class="room-head">
          <h1 dir="auto">{view.title}</h1>
          <Facts session={session} view={view} />
          {view.description && <p class="about" dir="auto">{view.description}</p>}
          <Turn session={session} view={view} />
          <Pins session={session} view={view} add={joined && onStage(session.role) ? () => open({ is: "pin" }) : undefined} />
        </header>
        <Stage session={session} view={view} choose={choose} />
        {runs && <Queue session={session} view={view} />}
        <Crowd session={session} view={view} choose={choose} everybody={() => open({ is: "people" })} />
      </main>
      <Dock session={session} view={view} />
    </>
  );
}

/** Facts are the small print under the title: host, whether the door is locked, when it begins or ends, topics. */
function Facts({ session, view }: { session: Session; view: View }): JSX.Element {
  const now = useNow(20_000);
  const { where, joined } = useStore(session.state);
  const host = view.participants[view.host]?.name;
  return (
    <>
      <p class="facts soft">
        {host !== undefined && <bdi>{text.room.hostedBy({ host })}</bdi>}
        {view.state === "scheduled" && view.startsAt && <span>{text.room.begins({ when: when(view.startsAt, now) })}</span>}
        {joined && where && (
          <span class="where">{where.ms === null ? text.room.from({ node: where.node }) : text.room.distance({ node: where.node, ms: where.ms })}</span>
        )}
        {view.regions && view.regions.length > 0 && <span>{text.room.kept({ regions: list(view.regions) })}</span>}
        <Waiting view={view} />
        {view.locked && (
          <span class="locked">
            <Lock />
            {text.room.locked}. {text.room.lockedLead}
          </span>
        )}
      </p>
      {view.heldUntil && <p class="held">{text.room.held({ when: when(view.heldUntil, now) })}</p>}
      {view.tags && view.tags.length > 0 && (
        <p class="tags">
          {view.tags.map((tag) => (
            <bdi key={tag} class="tag">
              {tag}
            </bdi>
          ))}
        </p>
      )}
    </>
  );
}

function Bar({ session, open }: { session: Session; open: (sheet: Sheet) => void }): JSX.Element {
  const app = useApp();
  const { view } = useStore(session.state);
  return (
    <header class="bar">
      <button type="button" class="round quiet" aria-label={text.room.back} title={text.room.back} onClick={() => app.go("/")}>
        <Back />
      </button>
      <PhasePill phase={view?.state === "scheduled" ? "scheduled" : session.phase} />
      <span class="bar-end">
        <button type="button" class="round quiet" aria-label={text.room.share} title={text.room.share} onClick={() => open({ is: "share" })}>
          <Share />
        </button>
        <button type="button" class="round quiet" aria-label={text.room.more} title={text.room.more} onClick={() => open({ is: "menu" })}>
          <More />
        </button>
      </span>
    </header>
  );
}

function PhasePill({ phase }: { phase: Phase | "scheduled" }): JSX.Element {
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

/** What the lock screen's buttons do. Pausing live sound is leaving it: nothing waits to be heard later. */
const controls: MediaSessionAction[] = ["play", "pause", "stop"];

/**
 * useLockScreen names the room where the system shows what plays, lets it be paused and stopped there, and shows and turns the
 * microphone on and off where the system has a sign for it.
 */
function useLockScreen(session: Session, view: View | null): void {
  const app = useApp();
  const { joined, microphone, voice } = useStore(session.state);
  const title = view?.title ?? "";
  const host = view?.participants[view.host]?.name ?? "";
  const [paused, setPaused] = useState(false);
  useEffect(() => {
    if (!("mediaSession" in navigator) || !(joined || paused)) return;
    const media = navigator.mediaSession;
    const act: Record<string, () => void> = {
      play: () => {
        setPaused(false);
        session.unlock();
        session.join();
      },
      pause: () => {
        setPaused(true);
        session.leave();
      },
      stop: () => {
        setPaused(false);
        session.leave();
      },
    };
    media.metadata = new MediaMetadata({ title, artist: host, album: text.product, artwork: [{ src: "/favicon.svg", type: "image/svg+xml" }] });
    media.playbackState = joined ? "playing" : "paused";
    for (const action of controls) media.setActionHandler(action, act[action]!);
    return () => {
      media.metadata = null;
      media.playbackState = "none";
      for (const action of controls) media.setActionHandler(action, null);
    };
  }, [session, joined, paused, title, host]);

  const open = microphone === "on" && voice.at === "up";
  const muted = session.me === undefined || view?.participants[session.me]?.muted !== false;
  useEffect(() => {
    if (!open || !("mediaSession" in navigator) || !("setMicrophoneActive" in navigator.mediaSession)) return;
    const media = navigator.mediaSession as MediaSession & { setMicrophoneActive(active: boolean): unknown };
    media.setMicrophoneActive(!muted);
    const toggle = () => void app.attempt(() => session.setMuted(!muted));
    try {
      media.setActionHandler("togglemicrophone" as MediaSessionAction, toggle);
    } catch {
      return; // this browser has the sign and no button
    }
    return () => media.setActionHandler("togglemicrophone" as MediaSessionAction, null);
  }, [session, open, muted]);
}

/** useAwake keeps the screen of somebody on stage from going dark: the microphone of a locked phone is cut off. */
function useAwake(wanted: boolean): void {
  useEffect(() => {
    if (!wanted || !("wakeLock" in navigator)) return;
    let lock: WakeLockSentinel | undefined;
    let here = true;
    const take = () => {
      if (document.visibilityState !== "visible") return;
      navigator.wakeLock.request("screen").then(
        (taken) => {
          if (here) lock = taken;
          else void taken.release();
        },
        () => undefined, // a battery that runs low says no
      );
    };
    take();
    document.addEventListener("visibilitychange", take); // it is let go with the page out of sight
    return () => {
      here = false;
      document.removeEventListener("visibilitychange", take);
      void lock?.release();
    };
  }, [wanted]);
}
