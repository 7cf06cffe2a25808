import { readProblem } from "./problem.ts";
import type { Role, View } from "./view.ts";
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
}

/** A person and the token that proves it. */
export interface Identity {
  user: string;
  name: string;
  token: string;
}

/** A node that can be tried for a room. */
export interface Edge {
  node: string;
  region: string;
  url: string;
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

  async rooms(state: "live" | "scheduled" | "ended"): Promise<Summary[]> {
    const body = await this.#json<{ rooms?: Summary[] | null }>("GET", `/v1/rooms?state=${state}`);
    return body.rooms ?? [];
  }

  async createRoom(room: { title: string; description?: string }): Promise<View> {
    return asView(await this.#json("POST", "/v1/rooms", room));
  }

  async room(room: string): Promise<View> {
    return asView(await this.#json("GET", roomPath(room)));
  }

  async edges(room: string): Promise<Edge[]> {
    const body = await this.#json<{ edges?: Edge[] | null }>("GET", `/v1/edges?room=${encodeURIComponent(room)}`);
    return body.edges ?? [];
  }

  end(room: string): Promise<void> {
    return this.#do("POST", `${roomPath(room)}/end`);
  }

  request(room: string): Promise<void> {
    return this.#do("POST", `${roomPath(room)}/requests`, {});
  }

  withdraw(room: string): Promise<void> {
    return this.#do("DELETE", `${roomPath(room)}/requests`);
  }

  approve(room: string, user: string): Promise<void> {
    return this.#do("POST", `${roomPath(room)}/requests/${encodeURIComponent(user)}/approve`);
  }

  deny(room: string, user: string): Promise<void> {
    return this.#do("POST", `${roomPath(room)}/requests/${encodeURIComponent(user)}/deny`);
  }

  mute(room: string, user: string): Promise<void> {
    return this.#do("POST", `${personPath(room, user)}/mute`);
  }

  /** unmute opens the caller's own microphone; nobody can open another's. */
  unmute(room: string, self: string): Promise<void> {
    return this.#do("DELETE", `${personPath(room, self)}/mute`);
  }

  setRole(room: string, user: string, role: Role): Promise<void> {
    return this.#do("PUT", `${personPath(room, user)}/role`, { role });
  }

  remove(room: string, user: string, ban: boolean): Promise<void> {
    return this.#do("DELETE", personPath(room, user), { ban });
  }

  /** events opens the room's feed after `lastId` ("" for a snapshot). It stays open until signal aborts it. */
  async events(room: string, lastId: string, signal: AbortSignal): Promise<Response> {
    const headers: Record<string, string> = { Accept: "text/event-stream" };
    if (lastId !== "") headers["Last-Event-ID"] = lastId;
    return this.#ask(`${roomPath(room)}/events`, { headers, signal, cache: "no-store" });
  }

  /**
   * offer posts an SDP offer to the room's WHIP or WHEP endpoint (RFC 9725 §4.2) and answers the node's SDP and where the
   * session lives, to be deleted at the end. The caller bounds the wait with signal.
   */
  async offer(room: string, kind: "whip" | "whep", sdp: string, signal: AbortSignal): Promise<{ answer: string; session: string | null }> {
    const path = `${roomPath(room)}/${kind}`;
    const base = this.#base();
    const response = await this.#ask(path, {
      method: "POST",
      headers: { "Content-Type": "application/sdp" },
      body: sdp,
      signal,
    });
    const location = response.headers.get("Location");
    return {
      answer: await response.text(),
      session: location === null ? null : new URL(location, response.url || base + path).href,
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

  async #ask(path: string, init: RequestInit): Promise<Response> {
    const response = await this.#fetch(this.#base() + path, {
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

function personPath(room: string, user: string): string {
  return `${roomPath(room)}/participants/${encodeURIComponent(user)}`;
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
