import type { Identity } from "../core/api.ts";
import { claimsOf } from "../core/api.ts";

const key = "rotunda.identity";
const nameKey = "rotunda.name";

/** Seconds before its end from which a token is no longer used: nobody should fall out of a room they just joined. */
const marginSeconds = 60;

/**
 * Identities keeps who this person is, across visits. A token that came in a room's link belongs to that room alone and goes
 * before the general one there. Storage may be forbidden (private windows); then it lasts as long as the page.
 */
export class Identities {
  readonly #memory = new Map<string, string>();

  /** load answers who the person is in a room, or in the lobby where room is null. Expired tokens are not answered. */
  load(room: string | null): Identity | undefined {
    return (room !== null && this.#read(`${key}.${room}`)) || this.#read(key) || undefined;
  }

  /** keep remembers a guest. */
  keep(identity: Identity): void {
    this.#set(key, JSON.stringify(identity));
    this.#set(nameKey, identity.name);
  }

  /** rename keeps another name for an identity that there is, where it is kept already. */
  rename(room: string | null, identity: Identity): void {
    const at = room !== null && this.#get(`${key}.${room}`) !== null ? `${key}.${room}` : key;
    this.#set(at, JSON.stringify(identity));
    this.#set(nameKey, identity.name);
  }

  /** accept takes the token of a link. It answers undefined for one that says nothing about a person. */
  accept(room: string | null, token: string): Identity | undefined {
    const { user, name } = claimsOf(token);
    if (user === "") return undefined;
    const identity = { user, name: name || user, token };
    this.#set(room === null ? key : `${key}.${room}`, JSON.stringify(identity));
    return identity;
  }

  /** drop forgets an identity that a node no longer takes. The name stays, to be offered again. */
  drop(room: string | null): void {
    if (room !== null && this.#get(`${key}.${room}`) !== null) this.#remove(`${key}.${room}`);
    else this.#remove(key);
  }

  /** name is what the person was called the last time, or "". */
  get name(): string {
    return this.#get(nameKey) ?? "";
  }

  #read(at: string): Identity | undefined {
    try {
      const value = JSON.parse(this.#get(at) ?? "null") as Partial<Identity> | null;
      if (typeof value?.user !== "string" || typeof value.name !== "string" || typeof value.token !== "string") return undefined;
      const { expires } = claimsOf(value.token);
      if (expires !== 0 && expires - marginSeconds < Date.now() / 1000) return undefined;
      return { user: value.user, name: value.name, token: value.token };
    } catch {
      return undefined;
    }
  }

  #get(at: string): string | null {
    try {
      return localStorage.getItem(at) ?? this.#memory.get(at) ?? null;
    } catch {
      return this.#memory.get(at) ?? null;
    }
  }

  #set(at: string, value: string): void {
    this.#memory.set(at, value);
    try {
      localStorage.setItem(at, value);
    } catch {
      // kept in memory
    }
  }

  #remove(at: string): void {
    this.#memory.delete(at);
    try {
      localStorage.removeItem(at);
    } catch {
      // it was only in memory
    }
  }
}
