import type { Door, Identity, OwnProfile } from "./core/api.ts";
import { Api } from "./core/api.ts";
import type { Place } from "./core/place.ts";
import { placeOf, signInOf, withoutKey, withoutSignIn, withoutToken } from "./core/place.ts";
import { Problem, Said } from "./core/problem.ts";
import { Route } from "./core/route.ts";
import { Store } from "./core/store.ts";
import { Identities } from "./room/identity.ts";
import { keepKey, loadKey } from "./room/links.ts";
import { Profiles } from "./room/profiles.ts";
import type { Language } from "./text/catalogue.ts";
import { chosenElsewhere, language, remember, speak, text } from "./text/text.ts";

/** How long a note stays on the screen. It was said as well, and what it tells of can be seen. */
const noteMs = 5_000;
/** What comes in this long after each other is said together by the live region. */
const announceMs = 700;
/** Most sentences said together: a reader must not talk over the room for a minute. */
const announceMax = 3;

/** A note is a short text at the edge of the screen. */
export interface Note {
  id: number;
  text: string;
  trouble: boolean;
}

/** AppState is what belongs to the page and not to one room. */
export interface AppState {
  place: Place;
  identity: Identity | undefined;
  door: Door | undefined; // not known yet, or a node that does not say
  notes: readonly Note[];
  announcement: string;
  language: Language; // of all that is said; whoever shows words draws again when it changes
  created: string | null; // a room this person opened just now, to be entered without another tap
}

/** App holds what every screen needs: who, where, which node, and a way to say something. */
export class App {
  readonly state: Store<AppState>;
  readonly route = new Route(location.origin);
  readonly api: Api;
  readonly profiles: Profiles;
  /** What people are called whom this page has met, by user id: an invitation names nobody. */
  readonly names = new Map<string, string>();
  /** A link asked for a microphone without filters; that holds for the whole visit. */
  raw = false;
  readonly #identities = new Identities();
  #notes = 0;
  #unsaid: string[] = [];
  #saying: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    const place = placeOf(location.href);
    this.state = new Store<AppState>({ place, identity: undefined, door: undefined, notes: [], announcement: "", language, created: null });
    this.api = new Api({ base: () => this.route.base, token: () => this.state.value.identity?.token });
    this.profiles = new Profiles(this.api);
    this.#arrive();
    void this.#knock();
    window.addEventListener("popstate", () => this.#arrive());
    chosenElsewhere((next) => void this.attempt(() => this.#speakHere(next)));
  }

  /** go shows another place without loading the page again, so that the tap that led there still counts. */
  go(path: string, created: string | null = null): void {
    history.pushState(null, "", path);
    this.state.set({ created });
    this.#arrive();
    window.scrollTo(0, 0);
  }

  /** lastName is what the person was called the last time. */
  get lastName(): string {
    return this.#identities.name;
  }

  /** identify makes the person a guest of that name, unless there is an identity already. Where only accounts come in, it goes there. */
  async identify(name: string): Promise<Identity> {
    const { identity, door } = this.state.value;
    if (identity) return identity;
    if (door?.signIn && !door.guests) {
      location.assign(this.signIn);
      return new Promise(() => undefined); // the page is about to go
    }
    const guest = await this.api.guest(name.trim());
    this.#identities.keep(guest);
    this.state.set({ identity: guest });
    return guest;
  }

  /** signIn is where signing in begins; it comes back to this place. */
  get signIn(): string {
    return signInOf(location.href);
  }

  /** speak says everything in another language from now on, and on the next visits. */
  async speak(next: Language): Promise<void> {
    if (await this.attempt(() => this.#speakHere(next))) remember(next);
  }

  async #speakHere(next: Language): Promise<void> {
    await speak(next);
    this.state.set({ language: next });
  }

  /** rename keeps what the person wants others to see of them, and calls them so from now on. */
  async rename(profile: OwnProfile): Promise<void> {
    const name = (profile.name ?? "").trim();
    const next = await this.api.editProfile({ name, bio: (profile.bio ?? "").trim(), hidden: profile.hidden });
    this.profiles.forget(next.user);
    this.profiles.want([next.user]);
    const { identity } = this.state.value;
    if (!identity || name === "") return;
    const renamed = { ...identity, name };
    this.#identities.rename(this.state.value.place.room, renamed);
    this.state.set({ identity: renamed });
  }

  /** useKey comes into the room by the link for speakers, and forgets its key: it may have been taken back. */
  async useKey(take: () => Promise<void>): Promise<void> {
    try {
      await take();
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 403) throw error;
      this.note(text.share.taken, true);
    }
    const { place } = this.state.value;
    history.replaceState(null, "", withoutKey(location.href));
    if (place.room !== null) keepKey(place.room, "");
    this.state.set({ place: { ...place, key: "" } });
  }

  /** forget drops the identity, so that the person is asked for a name again. */
  forget(): void {
    this.#identities.drop(this.state.value.place.room);
    this.state.set({ identity: undefined });
  }

  /** renew replaces an identity that the node no longer takes by a new guest of the same name, and reports whether it could. */
  async renew(): Promise<boolean> {
    const { identity, door } = this.state.value;
    const name = identity?.name ?? this.lastName;
    const account = door?.signIn && (!door.guests || (identity && !identity.user.startsWith("g_")));
    this.forget();
    if (name === "" || account) return false; // nobody becomes a guest, or leaves the room to sign in, without being asked
    try {
      await this.identify(name);
      return true;
    } catch {
      return false;
    }
  }

  /** attempt runs what a button asks for and shows why it failed. It answers whether it did not. */
  async attempt(work: () => Promise<unknown>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      this.trouble(error);
      return false;
    }
  }

  /** trouble shows an error in words. A refused identity is dropped: the screen then asks for a name. */
  trouble(error: unknown): void {
    if (error instanceof Problem && error.status === 401) {
      this.forget();
      this.note(text.trouble.name, true);
      return;
    }
    this.note(explain(error), true);
  }

  /** note shows a short text for a while and says it. */
  note(words: string, trouble = false): void {
    const note = { id: ++this.#notes, text: words, trouble };
    this.state.set({ notes: [...this.state.value.notes, note].slice(-3) });
    setTimeout(() => this.dismiss(note.id), noteMs);
    this.say(words);
  }

  /** clear takes all notes away: they belong to a screen that is gone. */
  clear(): void {
    this.state.set({ notes: [] });
  }

  dismiss(id: number): void {
    this.state.set({ notes: this.state.value.notes.filter((note) => note.id !== id) });
  }

  /** say gives a sentence to the one polite live region. */
  say(words: string): void {
    this.#unsaid = [...this.#unsaid.filter((each) => each !== words), words].slice(-announceMax);
    this.#saying ??= setTimeout(() => {
      this.#saying = undefined;
      this.state.set({ announcement: this.#unsaid.join(" ") });
      this.#unsaid = [];
    }, announceMs);
  }

  #arrive(): void {
    const { signIn } = placeOf(location.href);
    if (signIn !== null) history.replaceState(null, "", withoutSignIn(location.href, loadKey(placeOf(location.href).room ?? "")));
    const place = placeOf(location.href);
    if (place.room !== null) keepKey(place.room, place.key); // the way to the accounts and back loses what only this page sees
    this.raw ||= place.raw;
    if (place.token !== null) {
      history.replaceState(null, "", withoutToken(location.href));
      if (!this.#identities.accept(place.room, place.token)) this.note(text.trouble.unknown, true);
    }
    this.state.set({ place, identity: this.#identities.load(place.room) });
    if (signIn === "cancelled") this.note(text.name.cancelled);
    else if (signIn === "refused") this.note(text.name.refused, true);
    else if (signIn === "done") void this.#signedIn();
  }

  /** signedIn fetches who has come back from the operator's accounts, which the node hands over once. */
  async #signedIn(): Promise<void> {
    try {
      const identity = await this.api.signedIn();
      this.#identities.keep(identity);
      this.state.set({ identity });
      this.note(text.name.signedIn({ name: identity.name }));
    } catch {
      this.note(text.name.refused, true);
    }
  }

  /** knock asks the node how people come in. Where it does not answer, a name is asked for, as everywhere. */
  async #knock(): Promise<void> {
    try {
      this.state.set({ door: await this.api.door() });
    } catch {
      // the name's own refusal says what is wrong
    }
  }
}

/** explain says in words why something failed. */
function explain(error: unknown): string {
  if (error instanceof Problem || error instanceof Said) return error.message;
  if (error instanceof DOMException) {
    switch (error.name) {
      case "NotAllowedError":
        return text.mic.denied;
      case "SecurityError":
        return text.mic.unsupported;
      case "NotFoundError":
      case "OverconstrainedError":
        return text.mic.none;
      case "NotReadableError":
        return text.mic.busy;
      case "TimeoutError":
        return text.trouble.slow;
    }
  }
  if (error instanceof TypeError) return text.trouble.network; // how fetch says that nobody answered
  return text.trouble.unknown;
}
