import type { RoomDetails } from "./api.ts";
import type { Role } from "./view.ts";

/** Somebody on the list of who is in a room. */
export interface Present {
  user: string;
  name: string;
  role: Role;
  muted: boolean;
  bio?: string;
  avatar?: string;
}

/** An entry of the moderation record. */
export interface Decision {
  seq: number;
  at: string;
  by?: string;
  type: string;
  user?: string;
  users?: string[];
  name?: string;
  role?: Role;
  ban?: boolean;
  title?: string;
  url?: string;
  reason?: string;
}

type Call = (method: string, path: string, body?: unknown) => Promise<Response>;

/**
 * RoomApi is what people do in one room, as far as the room's record keeps it or answers from it. Each call rejects as Api's do;
 * what it changed is seen on the feed.
 */
export class RoomApi {
  readonly #path: string;
  readonly #call: Call;

  constructor(path: string, call: Call) {
    this.#path = path;
    this.#call = call;
  }

  end = (): Promise<void> => this.#do("POST", "/end");
  start = (): Promise<void> => this.#do("POST", "/start");
  edit = (change: RoomDetails): Promise<void> => this.#do("PATCH", "", change);
  muteAll = (): Promise<void> => this.#do("POST", "/mute-all");
  lock = (locked: boolean): Promise<void> => this.#do(locked ? "PUT" : "DELETE", "/lock");
  refresh = (): Promise<void> => this.#do("POST", "/refresh");

  /** request asks to speak; note says what about, "" nothing. */
  request = (note: string): Promise<void> => this.#do("POST", "/requests", note === "" ? {} : { note });

  withdraw = (): Promise<void> => this.#do("DELETE", "/requests");
  approve = (user: string): Promise<void> => this.#do("POST", `/requests/${encodeURIComponent(user)}/approve`);
  deny = (user: string, reason = ""): Promise<void> => this.#do("POST", `/requests/${encodeURIComponent(user)}/deny`, because(reason));

  /** openLink makes the link for speakers, and answers when: what tells it from the one before. */
  openLink = async (key: string): Promise<string> => {
    const room = (await (await this.#call("PUT", `${this.#path}/speaker-link`, { key })).json()) as { speakerLink?: { at?: string } };
    return room.speakerLink?.at ?? "";
  };
  closeLink = (): Promise<void> => this.#do("DELETE", "/speaker-link");
  takeLink = (key: string): Promise<void> => this.#do("POST", "/speaker-link", { key });

  invite = (user: string): Promise<void> => this.#do("POST", "/invitations", { user });
  accept = (user: string): Promise<void> => this.#do("POST", `/invitations/${encodeURIComponent(user)}/accept`);
  /** decline says no to an invitation; of another's it takes it back. */
  decline = (user: string): Promise<void> => this.#do("POST", `/invitations/${encodeURIComponent(user)}/decline`);

  setRole = (user: string, role: Role): Promise<void> => this.#do("PUT", `${person(user)}/role`, { role });
  mute = (user: string, reason = ""): Promise<void> => this.#do("POST", `${person(user)}/mute`, because(reason));
  /** unmute opens one's own microphone; nobody can open another's. */
  unmute = (self: string): Promise<void> => this.#do("DELETE", `${person(self)}/mute`);
  warn = (user: string, reason: string, everybody: boolean): Promise<void> => this.#do("POST", `${person(user)}/warn`, { reason, public: everybody });
  remove = (user: string, how: { ban: boolean; everywhere: boolean; reason: string }): Promise<void> =>
    this.#do("DELETE", person(user), { ban: how.ban, everywhere: how.everywhere, ...because(how.reason) });

  pin = (url: string, note: string): Promise<void> => this.#do("POST", "/pins", { url, ...(note === "" ? {} : { note }) });
  approvePin = (pin: string): Promise<void> => this.#do("POST", `/pins/${encodeURIComponent(pin)}/approve`);
  unpin = (pin: string): Promise<void> => this.#do("DELETE", `/pins/${encodeURIComponent(pin)}`);

  rotate = (turn: number): Promise<void> => this.#do("POST", "/rotation", { turn });
  nextTurn = (): Promise<void> => this.#do("POST", "/rotation/next");
  extendTurn = (by: number): Promise<void> => this.#do("POST", "/rotation/extend", { by });
  stopRotation = (): Promise<void> => this.#do("DELETE", "/rotation");

  react = (emoji: string): Promise<void> => this.#do("POST", "/reactions", { emoji });

  /** report tells the operator about a person, or about the room where user is null. */
  report = (user: string | null, reason: string, note: string): Promise<void> =>
    this.#do("POST", "/reports", { reason, ...(user === null ? {} : { user }), ...(note === "" ? {} : { note }) });

  /** participants answers one page of who is in the room and whose name or bio holds the search. */
  async participants(search: string, cursor: string): Promise<{ people: Present[]; next: string; complete: boolean }> {
    const query = new URLSearchParams({ limit: "50" });
    if (search !== "") query.set("q", search);
    if (cursor !== "") query.set("cursor", cursor);
    const body = await this.#json<{ participants?: Present[] | null; nextCursor?: string; complete?: boolean }>(`/participants?${query}`);
    return { people: body.participants ?? [], next: body.nextCursor ?? "", complete: body.complete !== false };
  }

  /** record answers a page of the moderation record, the oldest first. */
  async record(cursor: string): Promise<{ events: Decision[]; next: string }> {
    const query = new URLSearchParams({ limit: "100" });
    if (cursor !== "") query.set("cursor", cursor);
    const body = await this.#json<{ events?: Decision[] | null; nextCursor?: string }>(`/log?${query}`);
    return { events: body.events ?? [], next: body.nextCursor ?? "" };
  }

  async #json<T>(path: string): Promise<T> {
    return (await (await this.#call("GET", this.#path + path)).json()) as T;
  }

  async #do(method: string, path: string, body?: unknown): Promise<void> {
    await (await this.#call(method, this.#path + path, body)).body?.cancel();
  }
}

function because(reason: string): { reason: string } | undefined {
  return reason === "" ? undefined : { reason };
}

function person(user: string): string {
  return `/participants/${encodeURIComponent(user)}`;
}
