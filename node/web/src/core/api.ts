import { RoomApi } from "./room-api.ts";
import { readProblem } from "./problem.ts";
import type { Relay } from "./relays.ts";
import { relaysOf } from "./relays.ts";
import type { Asking, View } from "./view.ts";
import { asView } from "./view.ts";

/** A room as the lobby lists it. */
export interface Summary {
  id: string;
  state: string;
  title: string;
  host: string;
  hostName?: string;
  speakers?: number;
  listeners?: number;
  tags?: string[];
  startedAt?: string | null;
  startsAt?: string | null;
  endedAt?: string | null;
  locked?: boolean;
  seq?: number;
}

/** A media session as the node has answered for it. */
export interface Offered {
  answer: string; // SDP
  session: string | null; // its URL
  relays: Relay[];
}

/** A person and the token that proves it. */
export interface Identity {
  user: string;
  name: string;
  token: string;
}

/** How people come in: by giving a name, by signing in, or either. */
export interface Door {
  guests: boolean;
  signIn: boolean;
  create: "everyone" | "accounts" | "scope";
}

/** A person as everybody may know them. */
export interface Profile {
  user: string;
  name?: string;
  bio?: string;
  avatar?: string; // path on any node
}

/** What somebody may change of their own profile; "hidden" leaves them off the list of listeners. */
export interface OwnProfile extends Profile {
  hidden: boolean;
}

/** What a room is made of, or changed to. */
export interface RoomDetails {
  title?: string;
  description?: string;
  rules?: string;
  mode?: string;
  tags?: string[];
  language?: string;
  startsAt?: string;
  policy?: { requests?: Asking; turnSeconds?: number };
  regions?: string[];
}

/** A node that can be tried for a room. */
export interface Edge {
  node: string;
  region: string;
  url: string;
}

/** A region that a room may be kept in. */
export interface Region {
  region: string;
  nodes: number; // that are known to take people there now
  url?: string; // of one of them
}

export type Fetch = (input: string, init?: RequestInit) => Promise<Response>;

/** Longest wait for an answer. Nothing behind these calls takes that long unless something is broken. */
const timeoutMs = 10_000;

/**
 * Api speaks to the nodes' /v1. The base is asked for before every call, because it changes when a node dies; the token may
 * be absent, which is enough to look. A refusal rejects with Problem, a dead node with whatever fetch says.
 */
export class Api {
  readonly #base: () => string;
  readonly #token: () => string | undefined;
  readonly #fetch: Fetch;

  constructor(options: { base: () => string; token: () => string | undefined; fetch?: Fetch }) {
    this.#base = options.base;
    this.#token = options.token;
    this.#fetch = options.fetch ?? ((input, init) => fetch(input, init));
  }

  async guest(name: string): Promise<Identity> {
    const body = await this.#json<Partial<Identity> & { token: string }>("POST", "/v1/guests", { name });
    const claims = claimsOf(body.token);
    return { user: body.user ?? claims.user, name: body.name ?? (claims.name || name), token: body.token };
  }

  /** door answers how people come in. */
  door(): Promise<Door> {
    return this.#json("GET", "/v1/door");
  }

  /** signedIn answers who has just come back from signing in, once. */
  async signedIn(): Promise<Identity> {
    const { user, name, token } = await this.#json<Identity>("POST", "/v1/sign-in/token");
    return { user, name, token };
  }

  /** rooms answers one page of rooms, and where the next one starts: "" on the last. */
  async rooms(state: "live" | "scheduled" | "ended", options: { tag?: string; cursor?: string; limit?: number } = {}): Promise<{ rooms: Summary[]; next: string }> {
    const query = new URLSearchParams({ state, limit: String(options.limit ?? 50) });
    if (options.tag) query.set("tag", options.tag);
    if (options.cursor) query.set("cursor", options.cursor);
    const body = await this.#json<{ rooms?: Summary[] | null; nextCursor?: string }>("GET", `/v1/rooms?${query}`);
    return { rooms: body.rooms ?? [], next: body.nextCursor ?? "" };
  }

  /** people answers the profiles of those of up to a hundred people who have one. */
  async people(users: readonly string[]): Promise<Profile[]> {
    const query = new URLSearchParams(users.map((user) => ["user", user]));
    return (await this.#json<{ people?: Profile[] | null }>("GET", `/v1/people?${query}`)).people ?? [];
  }

  profile(): Promise<OwnProfile> {
    return this.#json("GET", "/v1/profile");
  }

  editProfile(change: { name?: string; bio?: string; hidden?: boolean }): Promise<OwnProfile> {
    return this.#json("PATCH", "/v1/profile", change);
  }

  /** setAvatar uploads a picture; null takes the present one away. */
  async setAvatar(picture: Blob | null): Promise<void> {
    const path = "/v1/profile/avatar";
    if (picture === null) return this.#do("DELETE", path);
    const signal = AbortSignal.timeout(timeoutMs);
    await this.#ask(path, { method: "PUT", body: picture, signal, headers: { "Content-Type": picture.type || "image/png" } });
  }

  /** of is everything that can be done in one room. */
  of(room: string): RoomApi {
    return new RoomApi(roomPath(room), (method, path, body) => this.#call(method, path, body));
  }

  async createRoom(room: RoomDetails): Promise<View> {
    return asView(await this.#json("POST", "/v1/rooms", room));
  }

  async room(room: string): Promise<View> {
    return asView(await this.#json("GET", roomPath(room)));
  }

  async edges(room: string): Promise<Edge[]> {
    const body = await this.#json<{ edges?: Edge[] | null }>("GET", `/v1/edges?room=${encodeURIComponent(room)}`);
    return body.edges ?? [];
  }

  /** regions are those that a room may be kept in; own is that of the node that answers. It rejects where the mesh keeps none. */
  regions(): Promise<{ own: string; regions: Region[] }> {
    return this.#json("GET", "/v1/regions");
  }

  /** ping asks one node, of any address, for an answer at once. */
  async ping(base: string, signal: AbortSignal): Promise<void> {
    await this.#fetch(`${base}/v1/ping`, { signal, cache: "no-store" });
  }

  /**
   * serves asks one node, of any address, whether it can serve a room now: one that has it answers at once, and another one fetches it
   * for who comes next. The request is so plain that a browser sends it without asking before (CORS).
   */
  async serves(base: string, room: string, signal: AbortSignal): Promise<void> {
    const response = await this.#fetch(base + roomPath(room), { signal, cache: "no-store" });
    if (!response.ok) throw await readProblem(response);
    await response.body?.cancel();
  }

  /** events opens the room's feed after `lastId` ("" for a snapshot). It stays open until signal aborts it. */
  async events(room: string, lastId: string, signal: AbortSignal): Promise<Response> {
    const headers: Record<string, string> = { Accept: "text/event-stream" };
    if (lastId !== "") headers["Last-Event-ID"] = lastId;
    return this.#ask(`${roomPath(room)}/events`, { headers, signal, cache: "no-store" });
  }

  /**
   * offer posts an SDP offer to a node's WHIP or WHEP endpoint for the room (RFC 9725 §4.2) and answers the node's SDP and where the
   * session lives, to be deleted at the end, and what relays there are for networks that do not let media out to the node. The caller bounds the wait with signal.
   */
  async offer(base: string, room: string, kind: "whip" | "whep", sdp: string, signal: AbortSignal): Promise<Offered> {
    const path = `${roomPath(room)}/${kind}`;
    const init = { method: "POST", headers: { "Content-Type": "application/sdp" }, body: sdp, signal };
    const response = await this.#ask(path, init, base);
    const location = response.headers.get("Location");
    return {
      answer: await response.text(),
      session: location === null ? null : new URL(location, response.url || base + path).href,
      relays: relaysOf(response.headers.get("Link") ?? ""),
    };
  }

  /** hangUp ends a session. It is the last thing said on a page that may be closing, so nobody waits for it. */
  hangUp(session: string): void {
    void this.#fetch(session, { method: "DELETE", headers: this.#authorization(), keepalive: true }).catch(() => {
      // the node finds out by itself that nobody is there
    });
  }

  async #json<T>(method: string, path: string, body?: unknown): Promise<T> {
    return (await (await this.#call(method, path, body)).json()) as T;
  }

  async #do(method: string, path: string, body?: unknown): Promise<void> {
    await (await this.#call(method, path, body)).body?.cancel();
  }

  #call(method: string, path: string, body?: unknown): Promise<Response> {
    const init: RequestInit = { method, signal: AbortSignal.timeout(timeoutMs), headers: { Accept: "application/json" } };
    if (body !== undefined) {
      init.headers = { Accept: "application/json", "Content-Type": "application/json" };
      init.body = JSON.stringify(body);
    }
    return this.#ask(path, init);
  }

  async #ask(path: string, init: RequestInit, base = this.#base()): Promise<Response> {
    const response = await this.#fetch(base + path, {
      credentials: "same-origin", // the cookie by which a guest stays the same guest
      ...init,
      headers: { ...(init.headers as Record<string, string> | undefined), ...this.#authorization() },
    });
    if (!response.ok) throw await readProblem(response);
    return response;
  }

  #authorization(): Record<string, string> {
    const token = this.#token();
    return token === undefined ? {} : { Authorization: `Bearer ${token}` };
  }
}

function roomPath(room: string): string {
  return `/v1/rooms/${encodeURIComponent(room)}`;
}


/**
 * claimsOf reads who a token says it is for. Nothing is checked: the node does that, and only the name on the screen hangs on
 * this. A malformed token gives empty strings.
 */
export function claimsOf(token: string): { user: string; name: string; expires: number } {
  try {
    const part = (token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(part), (character) => character.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
    return {
      user: typeof claims["sub"] === "string" ? claims["sub"] : "",
      name: typeof claims["name"] === "string" ? claims["name"] : "",
      expires: typeof claims["exp"] === "number" ? claims["exp"] : 0,
    };
  } catch {
    return { user: "", name: "", expires: 0 };
  }
}
