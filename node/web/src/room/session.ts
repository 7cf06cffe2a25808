import type { Api, Identity } from "../core/api.ts";
import type { RoomApi } from "../core/room-api.ts";
import { TalkingWhileMuted } from "../core/level.ts";
import type { Line, Phase } from "../core/line.ts";
import { off, phaseOf } from "../core/line.ts";
import type { News } from "../core/news.ts";
import { newsOf, reasonOf } from "../core/news.ts";
import type { Presence } from "../core/presence.ts";
import { nobody } from "../core/presence.ts";
import { Problem } from "../core/problem.ts";
import type { Route } from "../core/route.ts";
import { sameSet, Speaking } from "../core/speaking.ts";
import { Store } from "../core/store.ts";
import type { Change, Role, View } from "../core/view.ts";
import { named, onStage, roleOf } from "../core/view.ts";
import { Microphone } from "../media/microphone.ts";
import { listenerTracks, Player, speakerTracks } from "../media/player.ts";
import { feed } from "./feed.ts";
import { Guard } from "./guard.ts";
import { Keeper } from "./keeper.ts";
import type { Kept } from "./kept.ts";
import { keptOf } from "./kept.ts";
import { Nodes } from "./nodes.ts";
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
  kept: Kept | null;
  goneReason: string; // what the host said to it; "": nothing
  feed: Line;
  sound: Line;
  voice: Line; // the microphone's connection
  joined: boolean;
  blocked: boolean; // the browser wants a tap before it plays
  speaking: readonly number[]; // SSRCs, in step with the sound
  microphone: "off" | "asking" | "on";
  muting: boolean; // a mute or unmute is on its way
  held: boolean; // push to talk: the button or the key is down
  where: { node: string; ms: number | null } | null; // the node that is heard, and its distance where it was timed
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
  /** presence is who listens and what they show, apart from the state because it comes a few times a second. */
  readonly presence = new Store<Presence>(nobody);
  /** room is what can be done in this room. */
  readonly room: RoomApi;

  readonly #options: SessionOptions;
  readonly #feed: Keeper;
  readonly #player: Player;
  #microphone: Microphone | undefined;
  #speaking = new Speaking();
  #mutedHint = new TalkingWhileMuted();
  #looking: ReturnType<typeof setInterval> | undefined;
  readonly #nodes: Nodes;
  readonly #guard: Guard;
  readonly #volumes = new Map<string, number>(); // by user; missing: 1
  #told: View | null = null; // the view as it came
  #reader: string | undefined; // whom the feed was opened for
  #base = ""; // the node that sound and voice were last told to use
  #joinedRemoval: string | undefined; // the removal that was on record when this person joined
  #renewed = false;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.state = new Store<RoomState>({
      view: null,
      gone: null,
      kept: null,
      goneReason: "",
      feed: off,
      sound: off,
      voice: off,
      joined: false,
      blocked: false,
      speaking: [],
      microphone: "off",
      muting: false,
      held: false,
      where: null,
      mutedHint: false,
      settings: options.settings,
    });
    const { api, room, route } = options;
    this.room = api.of(room);
    this.#nodes = new Nodes(api, room, route);
    this.#feed = new Keeper({
      attempt: feed({
        api,
        room,
        reader: () => this.me,
        show: (view, change) => this.#show(view, change),
        move: (bases) => this.#move(bases),
        presence: (presence) => this.#heed(presence),
      }),
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
    this.#guard = new Guard({
      received: () => this.#player.received(),
      base: () => this.#base,
      candidates: () => this.#nodes.candidates(),
      ask: (base, signal) => api.serves(base, room, signal),
      go: (base, signal) => this.#player.escape(base, signal),
      gone: (base) => this.#escaped(base),
      now: () => performance.now(),
    });
    void this.#player.playOn(options.settings.speaker);
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
    this.#reader = this.me;
    this.#feed.start();
    void this.#learn();
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
    this.state.set({ joined: true, gone: null, goneReason: "" });
    if (this.#reader !== me) this.#feed.replace(); // until now it was read as nobody, or as somebody else
    this.#reader = me;
    this.#player.play(this.#tracks());
    this.#looking ??= setInterval(() => this.#look(), lookMs);
    if (this.#options.route.others.length === 0) void this.#learn(); // there was no answer before
    this.#guard.start();
    this.#nodes.stayReady();
  }

  /** leave ends sound and voice and goes back to looking on. Somebody on stage keeps the place there. */
  leave(): void {
    this.#quiet();
    this.#player.close();
    this.state.set({ joined: false, blocked: false });
  }

  /** loudness sets how loud somebody is here, 0…1; nobody else hears a difference. */
  loudness(user: string, volume: number): void {
    this.#volumes.set(user, Math.min(1, Math.max(0, volume)));
  }

  loudnessOf(user: string): number {
    return this.#volumes.get(user) ?? 1;
  }

  /** stepDown lets go of the stage; the sound goes on. */
  async stepDown(): Promise<void> {
    const me = this.me;
    if (me === undefined) return;
    this.#closeMicrophone();
    await this.room.setRole(me, "listener");
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
      filters: settings.filters,
      device: settings.device,
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
    if (muted) this.#microphone?.setMuted(true);
    this.state.set({ muting: true });
    try {
      await (muted ? this.room.mute(me) : this.room.unmute(me));
    } finally {
      this.state.set({ muting: false });
      this.#obeyMute();
    }
  }

  /**
   * hold opens the microphone for as long as the button is down. The room is told of the first time only: it then counts the person
   * as open, and what is let through is decided here, without a round trip to the log for each word.
   */
  async hold(held: boolean): Promise<void> {
    this.state.set({ held });
    const me = this.me;
    const muted = me === undefined || this.state.value.view?.participants[me]?.muted !== false;
    if (held && muted) await this.setMuted(false);
    this.#obeyMute();
  }

  /** configure changes the settings, also while the microphone is on. */
  async configure(settings: Settings): Promise<void> {
    const before = this.state.value.settings;
    this.state.set({ settings });
    if (settings.push !== before.push) {
      await this.setMuted(true); // whoever stops holding a button does not want to be open from then on
      this.state.set({ held: false });
    }
    if (settings.speaker !== before.speaker) await this.#player.playOn(settings.speaker);
    if (settings.device !== before.device || settings.filters !== before.filters) await this.#microphone?.change(settings.filters, settings.device);
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

  /** heed takes what is not in the log, and shows those who call themselves otherwise since by their new names. */
  #heed(presence: Presence): void {
    const before = JSON.stringify(this.presence.value.names);
    this.presence.set(presence);
    if (this.#told && JSON.stringify(presence.names) !== before) this.state.set({ view: named(this.#told, presence.names) });
  }

  #show(told: View, change: Change | null): void {
    this.#told = told;
    const view = named(told, this.presence.value.names);
    const before = this.state.value.view;
    const me = this.me;
    this.state.set({ view });
    const removal = me === undefined ? undefined : view.removed[me];
    if (removal && (removal.ban || (this.state.value.joined && removal.at !== this.#joinedRemoval))) {
      this.leave();
      const reason = reasonOf(change, "removed", me ?? "") || this.state.value.goneReason; // later changes do not repeat it
      this.state.set({ gone: removal.ban ? "banned" : "removed", goneReason: reason });
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
    if (!mine || mine.muted || this.#waitsForPush()) this.#microphone?.setMuted(true);
    else if (!muting) this.#microphone?.setMuted(false);
  }

  #waitsForPush(): boolean {
    const { settings, held } = this.state.value;
    return settings.push && !held;
  }

  #feedChanged(line: Line, error: unknown): void {
    this.state.set({ feed: line, kept: keptOf(this.state.value.kept, line, error) });
    if (line.at === "waiting") this.#follow();
    if (line.at !== "refused") return;
    if (error instanceof Problem && error.status === 404) this.state.set({ gone: "unknown" });
    else if (banned(error)) this.state.set({ gone: "banned" });
    else this.#options.trouble(error);
  }

  /** move goes to another node: this one is being emptied, or that one is nearer. What is open goes on until its successor is of use. */
  #move(bases: readonly string[]): void {
    if (!this.#options.route.move(bases)) return;
    this.#feed.replace();
    this.#follow();
  }

  /** follow moves sound and voice to the route's node once the feed has left a dead one, or was sent away. */
  #follow(): void {
    if (this.#base === this.#options.route.base) return;
    if (this.#guard.fleeing) return; // who looks for a node that lives finds the one that does first
    this.#base = this.#options.route.base;
    this.#place();
    this.#player.move();
    this.#microphone?.move();
  }

  /** escaped goes on at the node that is heard now, since the other one has fallen silent. */
  #escaped(base: string): void {
    const { route } = this.#options;
    if (!route.move([base, ...route.others.filter((other) => other !== base && other !== this.#base)])) route.succeeded(base);
    this.#base = base;
    this.#place();
    this.#feed.replace();
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
    if (this.#volumes.size > 0) this.#player.mix(active, (ssrc) => this.#volumeOf(ssrc));
    const me = this.me;
    const mine = me === undefined ? undefined : view?.participants[me];
    if (microphone === "on" && this.#microphone) {
      const level = this.#microphone.level();
      this.level.set({ level: Math.round(level * 50) / 50 });
      const muted = mine?.muted !== false || this.#waitsForPush();
      // Nobody gets their own voice back, so the own ring follows the own meter.
      if (mine && !muted && level > 0.3) active.add(mine.ssrc);
      const hint = this.#mutedHint.observe(now, level, muted);
      if (hint !== mutedHint) this.state.set({ mutedHint: hint });
    } else if (mutedHint) this.state.set({ mutedHint: false });
    const next = [...active].sort((a, b) => a - b);
    if (!sameSet(next, speaking)) this.state.set({ speaking: next });
  }

  #volumeOf(ssrc: number): number {
    for (const [user, person] of Object.entries(this.state.value.view?.participants ?? {})) {
      if (person.ssrc === ssrc) return this.loudnessOf(user);
    }
    return 1;
  }

  /**
   * learn asks for the other nodes while this one lives, and goes to the nearest; who was quick and listens already goes there
   * without a gap. It is not worth an error: without an answer the route has one node.
   */
  async #learn(): Promise<void> {
    const { route } = this.#options;
    this.#base = route.base;
    try {
      const own = route.base;
      const best = await this.#nodes.nearest();
      this.#place();
      if (best !== own && route.base === own) this.#move([best, ...route.others.filter((base) => base !== best)]);
    } catch {
      // the page goes on where it is
    }
  }

  /** place says which node is heard, as far as its name is known. */
  #place(): void {
    this.state.set({ where: this.#nodes.place(this.#options.route.base) });
  }

  #quiet(): void {
    this.#closeMicrophone();
    this.#guard.stop();
    this.#nodes.stop();
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
    this.state.set({ microphone: "off", voice: off, held: false, mutedHint: false });
  }
}
