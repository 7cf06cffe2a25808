import type { Api, Profile } from "../core/api.ts";
import { Store } from "../core/store.ts";

/** How long a profile is taken as it is. */
const freshMs = 60_000;
/** People who are asked for at once, and how long it is waited for others to ask with them. */
const togetherMax = 100;
const togetherMs = 60;
/** Most profiles that are kept. */
const keptMax = 500;

/** Profiles keeps what is known of people: pictures and words about themselves, asked for in batches when they are wanted. */
export class Profiles {
  readonly store = new Store<{ known: ReadonlyMap<string, Profile> }>({ known: new Map() });
  readonly #api: Api;
  readonly #asked = new Map<string, number>(); // user → when, in milliseconds
  readonly #wanted = new Set<string>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(api: Api) {
    this.#api = api;
  }

  /** want asks for people, unless that was done lately. What comes is in the store. */
  want(users: readonly string[]): void {
    const now = Date.now();
    for (const user of users) {
      if (now - (this.#asked.get(user) ?? -freshMs) < freshMs) continue;
      this.#asked.set(user, now);
      this.#wanted.add(user);
    }
    if (this.#wanted.size > 0) this.#timer ??= setTimeout(() => void this.#ask(), togetherMs);
  }

  /** forget has somebody asked for again, because they have changed. */
  forget(user: string): void {
    this.#asked.delete(user);
  }

  async #ask(): Promise<void> {
    this.#timer = undefined;
    const users = [...this.#wanted].slice(0, togetherMax);
    for (const user of users) this.#wanted.delete(user);
    try {
      const people = await this.#api.people(users);
      const known = new Map(this.store.value.known);
      for (const user of users) known.delete(user);
      for (const person of people) known.set(person.user, person);
      for (const old of [...known.keys()].slice(0, Math.max(0, known.size - keptMax))) known.delete(old);
      this.store.set({ known });
    } catch {
      for (const user of users) this.#asked.delete(user); // a picture is not worth an error; whoever looks again asks again
    }
    if (this.#wanted.size > 0) this.#timer ??= setTimeout(() => void this.#ask(), togetherMs);
  }
}
