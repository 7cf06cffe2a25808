import type { ComponentChildren, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Summary } from "../core/api.ts";
import type { View } from "../core/view.ts";
import { stage } from "../core/view.ts";
import { ago, text, when } from "../text/text.ts";
import { Avatar } from "./avatar.tsx";
import { CalendarLink } from "./calendar.tsx";
import { Create } from "./create.tsx";
import { Dome, Mark } from "./dome.tsx";
import { useApp, useNow, useStore, useTitle } from "./hooks.ts";
import { Again, Lock, Plus } from "./icons.tsx";
import { LanguageChoice } from "./language.tsx";
import { ProfileSheet } from "./profile.tsx";
import { Waiting } from "./wait.tsx";

/** The lobby looks again this often while somebody looks at it. */
const refreshMs = 4_000;
/** Rooms of a list that are asked for at once, and of those that are over. */
const pageSize = 30;
const endedMax = 6;
/** Live rooms whose people are shown: each is asked for, and asked again after a while. */
const peekedMax = 12;
const peekMs = 15_000;

/** Lobby lists the rooms that are live, those to come and those that have just ended. */
export function Lobby(): JSX.Element {
  const app = useApp();
  const { identity, door } = useStore(app.state);
  const [sheet, setSheet] = useState<"create" | "profile" | null>(null);
  const [tag, setTag] = useState("");
  useTitle(text.lobby.title);
  return (
    <div class="lobby">
      <header class="bar">
        <span class="brand">
          <Mark />
          {text.product}
        </span>
        {!identity && door?.signIn && (
          <a class="plain sign-in" href={app.signIn}>
            {text.name.signIn}
          </a>
        )}
        {identity && (
          <button type="button" class="who" onClick={() => setSheet("profile")}>
            <Avatar user={identity.user} name={identity.name} size="small" />
            <bdi class="who-name" aria-hidden="true">
              {identity.name}
            </bdi>
            <span class="hidden">{text.lobby.you({ name: identity.name })}</span>
          </button>
        )}
      </header>
      <main>
        <section class="hero">
          <Dome />
          <div class="hero-words">
            <h1>{text.lobby.headline}</h1>
            <p>{door?.signIn && !door.guests ? text.lobby.leadAccounts : text.lobby.lead}</p>
            <button type="button" class="primary big" onClick={() => setSheet("create")}>
              <Plus />
              {text.lobby.create}
            </button>
          </div>
        </section>
        <Live key={tag} tag={tag} choose={setTag} />
        <Upcoming tag={tag} />
        <Ended tag={tag} />
      </main>
      <footer class="foot">
        <LanguageChoice />
      </footer>
      {sheet === "create" && <Create close={() => setSheet(null)} />}
      {sheet === "profile" && <ProfileSheet close={() => setSheet(null)} />}
    </div>
  );
}

/** useRooms is a list of rooms that is looked at again and again, and grows by a page when that is wanted. */
function useRooms(state: "live" | "scheduled" | "ended", tag: string, every: number, limit = pageSize) {
  const app = useApp();
  const [list, setList] = useState<{ rooms: Summary[]; next: string } | null>(null);
  const [failed, setFailed] = useState(false);
  const [pages, setPages] = useState(1);
  const load = async () => {
    try {
      setList(await app.api.rooms(state, { tag, limit: Math.min(100, limit * pages) }));
      setFailed(false);
    } catch {
      setFailed(true);
    }
  };
  useEffect(() => {
    void load();
    const timer = setInterval(() => {
      if (document.visibilityState === "visible") void load();
    }, every);
    return () => clearInterval(timer);
  }, [tag, pages]);
  return { rooms: list?.rooms ?? null, more: list !== null && list.next !== "" && limit * pages < 100 ? () => setPages(pages + 1) : null, failed, load };
}

function Live({ tag, choose }: { tag: string; choose: (tag: string) => void }): JSX.Element {
  const { rooms, more, failed, load } = useRooms("live", tag, refreshMs);
  const tags = [...new Set([...(tag === "" ? [] : [tag]), ...(rooms ?? []).flatMap((room) => room.tags ?? [])])].slice(0, 12);
  return (
    <section class="live" aria-labelledby="live-now">
      <h2 id="live-now">
        {text.lobby.live}
        {rooms && rooms.length > 0 && <span class="count">{rooms.length}</span>}
      </h2>
      {tags.length > 0 && (
        <div class="tags" role="group" aria-label={text.lobby.topics}>
          {["", ...tags].map((each) => (
            <button key={each} type="button" class="tag" aria-pressed={each === tag} onClick={() => choose(each)}>
              <bdi>{each === "" ? text.lobby.all : each}</bdi>
            </button>
          ))}
        </div>
      )}
      {failed && (
        <p class="notice">
          {text.lobby.unreachable}
          <button type="button" class="link" onClick={() => void load()}>
            <Again />
            {text.lobby.refresh}
          </button>
        </p>
      )}
      {rooms?.length === 0 && !failed && (
        <div class="empty">
          <p class="empty-title">{text.lobby.empty}</p>
          <p class="soft">{tag === "" ? text.lobby.emptyLead : text.lobby.emptyTag}</p>
        </div>
      )}
      {rooms === null && !failed && <Shimmer />}
      <ul class="rooms">
        {rooms?.map((room, i) => (
          <li key={room.id}>
            <LiveCard room={room} peek={i < peekedMax} />
          </li>
        ))}
      </ul>
      <MoreRooms more={more} />
    </section>
  );
}

function MoreRooms({ more }: { more: (() => void) | null }): JSX.Element | null {
  return more ? (
    <button type="button" class="plain" onClick={more}>
      {text.lobby.more}
    </button>
  ) : null;
}

/** RoomLink is the whole card as one link, which is what it is for a reader, a new tab and a share by long press. */
function RoomLink({ room, children }: { room: string; children: ComponentChildren }): JSX.Element {
  const app = useApp();
  const open = (event: MouseEvent) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return; // a new tab is the browser's business
    event.preventDefault();
    app.go(`/r/${room}`);
  };
  return (
    <a class="card" href={`/r/${room}`} onClick={open}>
      {children}
    </a>
  );
}

function LiveCard({ room, peek }: { room: Summary; peek: boolean }): JSX.Element {
  const now = useNow(30_000);
  const inside = usePeek(room.id, peek);
  const host = room.hostName || room.host;
  const since = ago(room.startedAt, now);
  const others = (room.speakers ?? 1) - 1;
  const speakers = inside ? stage(inside).filter(({ user }) => user !== room.host) : [];
  return (
    <RoomLink room={room.id}>
      <span class="on-air">
        <Avatar user={room.host} name={host} />
      </span>
      <span class="card-words">
        <bdi class="card-title">{room.title}</bdi>
        <span class="soft">
          {others > 0 ? text.lobby.with({ host, n: others }) : <bdi>{host}</bdi>}
          {since && ` · ${text.lobby.since({ ago: since })}`}
        </span>
        {(speakers.length > 0 || inside?.listeners !== undefined || (inside?.queue?.waiting ?? 0) > 0 || room.locked) && (
          <span class="card-people">
            {speakers.slice(0, 4).map(({ user, name }) => (
              <Avatar key={user} user={user} name={name} size="small" />
            ))}
            {inside?.listeners !== undefined && <span class="soft">{text.lobby.listening({ n: inside.listeners })}</span>}
            {inside && <Waiting view={inside} />}
            {room.locked && (
              <span class="locked soft">
                <Lock />
                {text.room.locked}
              </span>
            )}
          </span>
        )}
        <Tags tags={room.tags} />
      </span>
    </RoomLink>
  );
}

/** usePeek looks into a room from the lobby: who is on stage, and how many listen. Looking in counts for nothing in the room. */
function usePeek(room: string, wanted: boolean): View | null {
  const app = useApp();
  const [view, setView] = useState<View | null>(null);
  useEffect(() => {
    if (!wanted) return;
    let here = true;
    const look = () => {
      if (document.visibilityState !== "visible") return;
      app.api.room(room).then(
        (next) => here && setView(next),
        () => undefined, // the card says what the list knows
      );
    };
    look();
    const timer = setInterval(look, peekMs);
    return () => {
      here = false;
      clearInterval(timer);
    };
  }, [room, wanted]);
  return view;
}

function Tags({ tags }: { tags: string[] | undefined }): JSX.Element | null {
  return tags && tags.length > 0 ? (
    <span class="tags">
      {tags.map((tag) => (
        <bdi key={tag} class="tag">
          {tag}
        </bdi>
      ))}
    </span>
  ) : null;
}

function Upcoming({ tag }: { tag: string }): JSX.Element | null {
  const now = useNow(30_000);
  const { rooms, more } = useRooms("scheduled", tag, 4 * refreshMs);
  if (!rooms || rooms.length === 0) return null;
  return (
    <section class="live" aria-labelledby="upcoming">
      <h2 id="upcoming">{text.lobby.upcoming}</h2>
      <ul class="rooms">
        {rooms.map((room) => (
          <li key={room.id} class="card-with">
            <RoomLink room={room.id}>
              <Avatar user={room.host} name={room.hostName || room.host} />
              <span class="card-words">
                <bdi class="card-title">{room.title}</bdi>
                <span>{when(room.startsAt, now)}</span>
                <span class="soft">{text.lobby.by({ host: room.hostName || room.host })}</span>
                <Tags tags={room.tags} />
              </span>
            </RoomLink>
            <CalendarLink room={{ id: room.id, title: room.title, startsAt: room.startsAt ?? null, seq: room.seq ?? 0, description: "" }} />
          </li>
        ))}
      </ul>
      <MoreRooms more={more} />
    </section>
  );
}

function Ended({ tag }: { tag: string }): JSX.Element | null {
  const now = useNow(30_000);
  const { rooms } = useRooms("ended", tag, 8 * refreshMs, endedMax);
  if (!rooms || rooms.length === 0) return null;
  return (
    <section class="live past" aria-labelledby="ended">
      <h2 id="ended">{text.lobby.recent}</h2>
      <ul class="rooms">
        {rooms.slice(0, endedMax).map((room) => (
          <li key={room.id} class="card">
            <Avatar user={room.host} name={room.hostName || room.host} size="small" />
            <span class="card-words">
              <bdi class="card-title">{room.title}</bdi>
              <span class="soft">{text.lobby.endedAgo({ ago: ago(room.endedAt, now) })}</span>
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Shimmer(): JSX.Element {
  return (
    <div class="shimmer" aria-hidden="true">
      <span />
      <span />
    </div>
  );
}
