import type { Api, Identity } from "../core/api.ts";
import { TalkingWhileMuted } from "../core/level.ts";
import type { Line, Phase } from "../core/line.ts";
import { off, phaseOf } from "../core/line.ts";
import type { News } from "../core/news.ts";
import { newsOf } from "../core/news.ts";
import { Problem } from "../core/problem.ts";
import type { Route } from "../core/route.ts";
import { sameSet, Speaking } from "../core/speaking.ts";
import { Store } from "../core/store.ts";
import type { Change, Role, View } from "../core/view.ts";
import { onStage, roleOf } from "../core/view.ts";
import { Microphone } from "../media/microphone.ts";
import { listenerTracks, Player, speakerTracks } from "../media/player.ts";
import { feed } from "./feed.ts";
import { Keeper } from "./keeper.ts";
import type { Settings } from "./settings.ts";

/** How often receivers are asked who is heard. Twice as often as an eye can tell from "in step". */
const lookMs = 50;

/** Why there is no room to show. */
export type Gone = "unknown" | "removed" | "banned";

/** banned reports whether a node refuses this person the room, or all rooms. */
function banned(error: unknown): boolean {
  return error instanceof Problem && (error.slug === "banned" || error.slug === "banned-everywhere");
}

/** RoomState is everything the screen shows of one room. */
export interface RoomState {
  view: View | null;
  gone: Gone | null;
  feed: Line;
  sound: Line;
  voice: Line; // the microphone's connection
  joined: boolean;
  blocked: boolean; // the browser wants a tap before it plays
  speaking: readonly number[]; // SSRCs, in step with the sound
  microphone: "off" | "asking" | "on";
  muting: boolean; // a mute or unmute is on its way
  mutedHint: boolean; // talking into a muted microphone
  settings: Settings;
}

/** What a session needs of the page around it. */
export interface SessionOptions {
  room: string;
  api: Api;
  route: Route;
  settings: Settings;
  identity: () => Identity | undefined;
  /** The node no longer takes the identity: forget it, and answer whether a new one is there. */
  renew: () => Promise<boolean>;
  news: (news: News) => void;
  trouble: (error: unknown) => void;
}

/**
 * Session is one person's time in one room: it follows the room from the first look, and carries sound and voice while they
 * are wanted. What it may do is decided by the node; it only keeps what is open here in step with the room's view.
 */
export class Session {
  readonly state: Store<RoomState>;
  /** level of the own microphone, 0…1, apart from the state because it changes twenty times a second. */
  readonly level = new Store({ level: 0 });

  readonly #options: SessionOptions;
  readonly #feed: Keeper;
  readonly #player: Player;
  #microphone: Microphone | undefined;
  #speaking = new Speaking();
  #mutedHint = new TalkingWhileMuted();
  #looking: ReturnType<typeof setInterval> | undefined;
  #base = ""; // the node that sound and voice were last told to use
  #joinedRemoval: string | undefined; // the removal that was on record when this person joined
  #renewed = false;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.state = new Store<RoomState>({
      view: null,
      gone: null,
      feed: off,
      sound: off,
      voice: off,
      joined: false,
      blocked: false,
      speaking: [],
      microphone: "off",
      muting: false,
      mutedHint: false,
      settings: options.settings,
    });
    const { api, room, route } = options;
    this.#feed = new Keeper({
      attempt: feed({ api, room, show: (view, change) => this.#show(view, change) }),
      changed: (line, error) => this.#feedChanged(line, error),
      route,
    });
    this.#player = new Player({
      api,
      room,
      route,
      changed: (line, error) => void this.#soundChanged(line, error),
      blocked: (blocked) => this.state.set({ blocked }),
    });
  }

  get phase(): Phase {
    const { feed, sound, view } = this.state.value;
    return phaseOf({ feed, sound, ended: view?.state === "ended" });
  }

  get me(): string | undefined {
    return this.#options.identity()?.user;
  }

  get role(): Role {
    const { view } = this.state.value;
    return view ? roleOf(view, this.me) : "listener";
  }

  /** open starts to follow the room, which needs neither a token nor a tap. */
  open(): void {
    this.#feed.start();
    window.addEventListener("online", this.#retry);
    document.addEventListener("visibilitychange", this.#retry);
    window.addEventListener("pagehide", this.#hide);
  }

  /** close ends everything. */
  close(): void {
    window.removeEventListener("online", this.#retry);
    document.removeEventListener("visibilitychange", this.#retry);
    window.removeEventListener("pagehide", this.#hide);
    this.#feed.stop();
    this.#quiet();
    this.#player.close();
  }

  /** unlock must run inside the tap that leads to join, before anything is waited for. */
  unlock(): void {
    this.#player.unlock();
  }

  /** join starts the sound. The identity is there by now. */
  join(): void {
    const { view } = this.state.value;
    const me = this.me;
    this.#joinedRemoval = me === undefined ? undefined : view?.removed[me]?.at;
    this.state.set({ joined: true, gone: null });
    this.#player.play(this.#tracks());
    this.#looking ??= setInterval(() => this.#look(), lookMs);
    void this.#learn();
  }

  /** leave ends sound and voice and goes back to looking on. Somebody on stage keeps the place there. */
  leave(): void {
    this.#quiet();
    this.#player.close();
    this.state.set({ joined: false, blocked: false });
  }

  /** ask, withdraw and the other commands reject as Api does; the view follows from the feed. */
  ask(): Promise<void> {
    return this.#options.api.request(this.#options.room);
  }

  withdraw(): Promise<void> {
    return this.#options.api.withdraw(this.#options.room);
  }

  approve(user: string): Promise<void> {
    return this.#options.api.approve(this.#options.room, user);
  }

  deny(user: string): Promise<void> {
    return this.#options.api.deny(this.#options.room, user);
  }

  mute(user: string): Promise<void> {
    return this.#options.api.mute(this.#options.room, user);
  }

  setRole(user: string, role: Role): Promise<void> {
    return this.#options.api.setRole(this.#options.room, user, role);
  }

  remove(user: string, ban: boolean): Promise<void> {
    return this.#options.api.remove(this.#options.room, user, ban);
  }

  end(): Promise<void> {
    return this.#options.api.end(this.#options.room);
  }

  /** stepDown lets go of the stage; the sound goes on. */
  async stepDown(): Promise<void> {
    const me = this.me;
    if (me === undefined) return;
    this.#closeMicrophone();
    await this.setRole(me, "listener");
  }

  /** openMicrophone asks for the microphone and connects it, muted. It rejects with a DOMException where there is none or it is refused. */
  async openMicrophone(): Promise<void> {
    if (this.#microphone) return;
    const { api, room, route } = this.#options;
    const { settings } = this.state.value;
    const microphone = new Microphone({
      api,
      room,
      route,
      ...settings,
      changed: (line, error) => this.#voiceChanged(line, error),
      unplugged: () => this.#closeMicrophone(),
    });
    this.#microphone = microphone;
    this.state.set({ microphone: "asking" });
    try {
      await microphone.open();
      if (this.#microphone === microphone) this.state.set({ microphone: "on" });
    } catch (error) {
      this.#closeMicrophone();
      throw error;
    }
  }

  /** setMuted mutes at once, here, and tells the room; unmuting waits for the room's word. */
  async setMuted(muted: boolean): Promise<void> {
    const me = this.me;
    if (me === undefined) return;
    const { api, room } = this.#options;
    if (muted) this.#microphone?.setMuted(true);
    this.state.set({ muting: true });
    try {
      await (muted ? api.mute(room, me) : api.unmute(room, me));
    } finally {
      this.state.set({ muting: false });
      this.#obeyMute();
    }
  }

  /** configure changes the microphone's settings, also while it is on. */
  async configure(settings: Settings): Promise<void> {
    this.state.set({ settings });
    await this.#microphone?.change(settings.filters, settings.device);
  }

  readonly #retry = (): void => {
    if (document.visibilityState === "hidden") return;
    this.#feed.kick();
    this.#player.kick();
    this.#microphone?.kick();
  };

  /** A page that goes away says goodbye, so that nobody sees its ghost on stage. */
  readonly #hide = (event: PageTransitionEvent): void => {
    if (!event.persisted) this.close();
  };

  #tracks(): number {
    return onStage(this.role) ? speakerTracks : listenerTracks;
  }

  #show(view: View, change: Change | null): void {
    const before = this.state.value.view;
    const me = this.me;
    this.state.set({ view });
    const removal = me === undefined ? undefined : view.removed[me];
    if (removal && (removal.ban || (this.state.value.joined && removal.at !== this.#joinedRemoval))) {
      this.leave();
      this.state.set({ gone: removal.ban ? "banned" : "removed" });
      return;
    }
    if (before) for (const news of newsOf(before, view, change, me)) this.#options.news(news);
    if (view.state === "ended") {
      if (this.state.value.joined) this.leave();
      this.#feed.stop(); // nothing more will happen
      return;
    }
    if (!onStage(this.role)) this.#closeMicrophone();
    this.#obeyMute();
    if (this.state.value.joined) this.#player.play(this.#tracks());
  }

  /** obeyMute keeps the track in step with the room: whoever is muted there is muted here. */
  #obeyMute(): void {
    const { view, muting } = this.state.value;
    const me = this.me;
    const mine = me === undefined ? undefined : view?.participants[me];
    if (!mine || mine.muted) this.#microphone?.setMuted(true);
    else if (!muting) this.#microphone?.setMuted(false);
  }

  #feedChanged(line: Line, error: unknown): void {
    this.state.set({ feed: line });
    if (line.at === "waiting") this.#follow();
    if (line.at !== "refused") return;
    if (error instanceof Problem && error.status === 404) this.state.set({ gone: "unknown" });
    else if (banned(error)) this.state.set({ gone: "banned" });
    else this.#options.trouble(error);
  }

  /** follow moves sound and voice to the route's node once the feed has left a dead one. */
  #follow(): void {
    if (this.#base === this.#options.route.base) return;
    this.#base = this.#options.route.base;
    this.#player.move();
    this.#microphone?.move();
  }

  async #soundChanged(line: Line, error: unknown): Promise<void> {
    this.state.set({ sound: line });
    if (line.at === "up") {
      this.#speaking.reset();
      this.#renewed = false;
      return;
    }
    if (line.at !== "refused") return;
    if (error instanceof Problem && error.status === 401 && !this.#renewed) {
      this.#renewed = true;
      if (await this.#options.renew()) {
        this.#player.play(this.#tracks());
        return;
      }
    }
    this.leave();
    this.#options.trouble(error);
  }

  #voiceChanged(line: Line, error: unknown): void {
    this.state.set({ voice: line });
    if (line.at !== "refused") return;
    this.#closeMicrophone();
    this.#options.trouble(error);
  }

  #look(): void {
    const now = performance.now();
    const { view, microphone, speaking, mutedHint } = this.state.value;
    this.#speaking.observe(now, this.#player.sources());
    const active = new Set(this.#speaking.active(now));
    const me = this.me;
    const mine = me === undefined ? undefined : view?.participants[me];
    if (microphone === "on" && this.#microphone) {
      const level = this.#microphone.level();
      this.level.set({ level: Math.round(level * 50) / 50 });
      const muted = mine?.muted !== false;
      // Nobody gets their own voice back, so the own ring follows the own meter.
      if (mine && !muted && level > 0.3) active.add(mine.ssrc);
      const hint = this.#mutedHint.observe(now, level, muted);
      if (hint !== mutedHint) this.state.set({ mutedHint: hint });
    } else if (mutedHint) this.state.set({ mutedHint: false });
    const next = [...active].sort((a, b) => a - b);
    if (!sameSet(next, speaking)) this.state.set({ speaking: next });
  }

  /** learn asks for the other nodes while this one lives. It is not worth an error: without an answer the route has one node. */
  async #learn(): Promise<void> {
    const { api, room, route } = this.#options;
    this.#base = route.base;
    try {
      route.learn((await api.edges(room)).map((edge) => edge.url));
    } catch {
      // tried again at the next join
    }
  }

  #quiet(): void {
    this.#closeMicrophone();
    clearInterval(this.#looking);
    this.#looking = undefined;
    this.#speaking.reset();
    this.state.set({ speaking: [] });
  }

  #closeMicrophone(): void {
    if (!this.#microphone) return;
    this.#microphone.close();
    this.#microphone = undefined;
    this.level.set({ level: 0 });
    this.state.set({ microphone: "off", voice: off, mutedHint: false });
  }
}
