import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Summary } from "../core/api.ts";
import { ago, text } from "../text/text.ts";
import { Avatar } from "./avatar.tsx";
import { Create } from "./create.tsx";
import { Dome, Mark } from "./dome.tsx";
import { useApp, useNow, useStore, useTitle } from "./hooks.ts";
import { Again, Plus } from "./icons.tsx";

/** The lobby looks again this often while somebody looks at it. */
const refreshMs = 4_000;

/** Lobby lists the rooms that are live now. */
export function Lobby(): JSX.Element {
  const app = useApp();
  const { identity } = useStore(app.state);
  const [creating, setCreating] = useState(false);
  useTitle(text.lobby.title);
  return (
    <div class="lobby">
      <header class="bar">
        <span class="brand">
          <Mark />
          {text.product}
        </span>
        {identity && (
          <span class="who" title={text.lobby.hello(identity.name)}>
            <Avatar user={identity.user} name={identity.name} size="small" />
            <span class="who-name">{identity.name}</span>
          </span>
        )}
      </header>
      <main>
        <section class="hero">
          <Dome />
          <div class="hero-words">
            <h1>{text.lobby.headline}</h1>
            <p>{text.lobby.lead}</p>
            <button type="button" class="primary big" onClick={() => setCreating(true)}>
              <Plus />
              {text.lobby.create}
            </button>
          </div>
        </section>
        <Live />
      </main>
      {creating && <Create close={() => setCreating(false)} />}
    </div>
  );
}

function Live(): JSX.Element {
  const app = useApp();
  const [rooms, setRooms] = useState<Summary[] | null>(null);
  const [failed, setFailed] = useState(false);

  const load = async () => {
    try {
      setRooms(await app.api.rooms("live"));
      setFailed(false);
    } catch {
      setFailed(true);
    }
  };
  useEffect(() => {
    void load();
    const timer = setInterval(() => {
      if (document.visibilityState === "visible") void load();
    }, refreshMs);
    return () => clearInterval(timer);
  }, []);

  return (
    <section class="live" aria-labelledby="live-now">
      <h2 id="live-now">
        {text.lobby.live}
        {rooms && rooms.length > 0 && <span class="count">{rooms.length}</span>}
      </h2>
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
          <p class="soft">{text.lobby.emptyLead}</p>
        </div>
      )}
      {rooms === null && !failed && <Shimmer />}
      <ul class="rooms">
        {rooms?.map((room) => (
          <li key={room.id}>
            <RoomCard room={room} />
          </li>
        ))}
      </ul>
    </section>
  );
}

function RoomCard({ room }: { room: Summary }): JSX.Element {
  const app = useApp();
  const now = useNow(30_000);
  const host = room.hostName || room.host;
  const since = ago(room.startedAt, now);
  const open = (event: MouseEvent) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return; // a new tab is the browser's business
    event.preventDefault();
    app.go(`/r/${room.id}`);
  };
  return (
    <a class="card" href={`/r/${room.id}`} onClick={open}>
      <span class="on-air">
        <Avatar user={room.host} name={host} />
      </span>
      <span class="card-words">
        <span class="card-title" dir="auto">{room.title}</span>
        <span class="soft">
          {text.lobby.with(host, (room.speakers ?? 1) - 1)}
          {since && ` · ${text.lobby.since(since)}`}
        </span>
        {room.tags && room.tags.length > 0 && (
          <span class="tags">
            {room.tags.map((tag) => (
              <span key={tag} class="tag">
                {tag}
              </span>
            ))}
          </span>
        )}
      </span>
    </a>
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
