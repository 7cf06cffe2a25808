import type { Api } from "../core/api.ts";
import type { Line } from "../core/line.ts";
import type { Route } from "../core/route.ts";
import { Keeper } from "../room/keeper.ts";
import type { Filters } from "./capture.ts";
import { capture, Ear } from "./capture.ts";
import { ended, negotiate, openPeer } from "./peer.ts";

/**
 * How long a voice goes to both nodes when it changes over: the old one ends its session when the new one is heard, which takes a
 * second or so, and the new one ends its own where the room does not take it.
 */
const besideMs = 4_000;

/** What a microphone needs, and what it reports. */
export interface MicrophoneOptions {
  api: Api;
  room: string;
  route: Route;
  filters: Filters;
  device: string; // "" is the browser's choice
  changed: (line: Line, error: unknown) => void;
  unplugged: () => void;
}

/**
 * Microphone is one person's voice on its way to the room. It is muted until told otherwise; muted, the track is disabled
 * here, so that not even silence with breath in it leaves the machine, whatever the room's log says.
 */
export class Microphone {
  readonly #keeper: Keeper;
  readonly #options: MicrophoneOptions;
  #track: MediaStreamTrack | undefined;
  #stream: MediaStream | undefined;
  readonly #senders = new Set<RTCRtpSender>(); // two while one connection replaces another
  #muted = true;
  #closed = false;
  #ear: Ear | undefined;

  constructor(options: MicrophoneOptions) {
    this.#options = options;
    this.#keeper = new Keeper({
      attempt: (opened, signal, base) => this.#attempt(opened, signal, base),
      changed: options.changed,
      route: options.route,
      beside: besideMs,
    });
  }

  /** open asks the person for the microphone and connects it, muted. It rejects with a DOMException when there is none or it is refused. */
  async open(): Promise<void> {
    await this.#capture(this.#options.filters, this.#options.device);
    if (!this.#closed) this.#keeper.start();
  }

  /** change takes another device or other filters without hanging up. */
  async change(filters: Filters, device: string): Promise<void> {
    await this.#capture(filters, device);
    await Promise.all([...this.#senders].map((sender) => sender.replaceTrack(this.#track ?? null)));
  }

  /** setMuted opens or shuts the track. The room's own gate is another matter: see Api.mute. */
  setMuted(muted: boolean): void {
    this.#muted = muted;
    if (this.#track) this.#track.enabled = !muted;
  }

  /** level is how loud the microphone is now, 0…1, muted or not. */
  level(): number {
    return this.#ear?.level() ?? 0;
  }

  kick(): void {
    this.#keeper.kick();
  }

  move(): void {
    if (this.#keeper.line.at !== "off") this.#keeper.replace();
  }

  /** close hangs up and lets go of the device. */
  close(): void {
    this.#closed = true;
    this.#keeper.stop();
    this.#release();
  }

  async #capture(filters: Filters, device: string): Promise<void> {
    const stream = await capture(filters, device);
    this.#release();
    const track = stream.getAudioTracks()[0];
    if (this.#closed || !track) {
      for (const each of stream.getTracks()) each.stop();
      return;
    }
    track.enabled = !this.#muted;
    track.contentHint = filters.noise ? "speech" : "music";
    track.addEventListener("ended", () => this.#options.unplugged());
    this.#stream = stream;
    this.#track = track;
    this.#ear = new Ear(track); // which hears also what is muted: "you are muted" needs to know
  }

  #release(): void {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = undefined;
    this.#track = undefined;
    this.#ear?.close();
    this.#ear = undefined;
  }

  async #attempt(opened: () => void, signal: AbortSignal, base: string): Promise<void> {
    const { api, room } = this.#options;
    const peer = openPeer();
    let session: string | null = null;
    const { sender } = peer.addTransceiver(this.#track ?? "audio", { direction: "sendonly", streams: this.#stream ? [this.#stream] : [] });
    try {
      await negotiate({ peer, api, base, room, kind: "whip", signal, accepted: (url) => (session = url) });
      if (this.#track && sender.track !== this.#track) await sender.replaceTrack(this.#track);
      this.#senders.add(sender);
      opened();
      await ended(peer, signal);
    } finally {
      this.#senders.delete(sender);
      peer.close();
      if (session !== null) api.hangUp(session);
    }
  }
}
