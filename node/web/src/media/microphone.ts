import type { Api } from "../core/api.ts";
import { meter } from "../core/level.ts";
import type { Line } from "../core/line.ts";
import type { Route } from "../core/route.ts";
import { Keeper } from "../room/keeper.ts";
import { ended, negotiate, openPeer } from "./peer.ts";

/** What browsers do to a voice before it is sent. All three off is right for music, and for measuring. */
export interface Filters {
  echo: boolean;
  noise: boolean;
  gain: boolean;
}

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
  #sender: RTCRtpSender | undefined;
  #muted = true;
  #closed = false;
  #ear: { context: AudioContext; analyser: AnalyserNode; track: MediaStreamTrack; samples: Float32Array<ArrayBuffer> } | undefined;

  constructor(options: MicrophoneOptions) {
    this.#options = options;
    this.#keeper = new Keeper({ attempt: (opened, signal) => this.#attempt(opened, signal), changed: options.changed, route: options.route });
  }

  /** open asks the person for the microphone and connects it, muted. It rejects with a DOMException when there is none or it is refused. */
  async open(): Promise<void> {
    await this.#capture(this.#options.filters, this.#options.device);
    if (!this.#closed) this.#keeper.start();
  }

  /** change takes another device or other filters without hanging up. */
  async change(filters: Filters, device: string): Promise<void> {
    await this.#capture(filters, device);
    await this.#sender?.replaceTrack(this.#track ?? null);
  }

  /** setMuted opens or shuts the track. The room's own gate is another matter: see Api.mute. */
  setMuted(muted: boolean): void {
    this.#muted = muted;
    if (this.#track) this.#track.enabled = !muted;
  }

  /** level is how loud the microphone is now, 0…1, muted or not. */
  level(): number {
    if (!this.#ear) return 0;
    this.#ear.analyser.getFloatTimeDomainData(this.#ear.samples);
    return meter(this.#ear.samples);
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
    const devices = navigator.mediaDevices as MediaDevices | undefined; // absent on pages that are not secure
    if (!devices) throw new DOMException("microphones are for secure pages", "SecurityError");
    const stream = await devices.getUserMedia({
      audio: {
        echoCancellation: filters.echo,
        noiseSuppression: filters.noise,
        autoGainControl: filters.gain,
        channelCount: 1,
        ...(device === "" ? {} : { deviceId: { exact: device } }),
      },
    });
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
    this.#listen(track);
  }

  /** listen meters a copy of the track, which stays open while the track is muted: "you are muted" needs to hear something. */
  #listen(original: MediaStreamTrack): void {
    const track = original.clone();
    track.enabled = true;
    const context = new AudioContext();
    const analyser = context.createAnalyser();
    analyser.fftSize = 1024;
    context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
    void context.resume();
    this.#ear = { context, analyser, track, samples: new Float32Array(analyser.fftSize) };
  }

  #release(): void {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = undefined;
    this.#track = undefined;
    if (this.#ear) {
      this.#ear.track.stop();
      void this.#ear.context.close();
      this.#ear = undefined;
    }
  }

  async #attempt(opened: () => void, signal: AbortSignal): Promise<void> {
    const { api, room } = this.#options;
    const peer = openPeer();
    let session: string | null = null;
    try {
      const { sender } = peer.addTransceiver(this.#track ?? "audio", { direction: "sendonly", streams: this.#stream ? [this.#stream] : [] });
      await negotiate({ peer, api, room, kind: "whip", signal, accepted: (url) => (session = url) });
      if (this.#track && sender.track !== this.#track) await sender.replaceTrack(this.#track);
      this.#sender = sender;
      opened();
      await ended(peer, signal);
    } finally {
      peer.close();
      if (session !== null) api.hangUp(session);
    }
  }
}
