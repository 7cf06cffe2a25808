import type { Api } from "../core/api.ts";
import type { Line } from "../core/line.ts";
import type { Route } from "../core/route.ts";
import type { Source } from "../core/speaking.ts";
import { Keeper } from "../room/keeper.ts";
import { receivedOf } from "../core/vigil.ts";
import type { Received } from "../room/guard.ts";
import { ended, negotiate, openPeer } from "./peer.ts";

/** A listener hears the room's mix on one track. */
export const listenerTracks = 1;
/** Speakers hear the loudest few others, each on a track of their own, without the delay of the mix. */
export const speakerTracks = 4;

/** What a player needs, and what it reports. */
export interface PlayerOptions {
  api: Api;
  room: string;
  route: Route;
  changed: (line: Line, error: unknown) => void;
  /** The browser wants a tap before it plays, or no longer does. */
  blocked: (blocked: boolean) => void;
}

/**
 * Player is the sound of a room. It plays through real audio elements, not through Web Audio: a phone's lock screen suspends
 * the one and not the other. The elements live as long as the player and are first played inside a tap, which is what lets
 * browsers play what comes later.
 */
export class Player {
  readonly #keeper: Keeper;
  readonly #elements: HTMLAudioElement[] = [];
  readonly #options: PlayerOptions;
  #tracks = listenerTracks;
  #receivers: RTCRtpReceiver[] = [];
  #peer: RTCPeerConnection | undefined; // the one that is heard
  #speaker = ""; // deviceId

  constructor(options: PlayerOptions) {
    this.#options = options;
    this.#keeper = new Keeper({ attempt: (opened, signal, base) => this.#attempt(opened, signal, base), changed: options.changed, route: options.route });
  }

  get line(): Line {
    return this.#keeper.line;
  }

  /** unlock must run inside a tap. It makes the audio elements and starts them empty. */
  unlock(): void {
    while (this.#elements.length < speakerTracks) {
      const element = document.createElement("audio");
      element.autoplay = true;
      element.setAttribute("playsinline", "");
      element.srcObject = new MediaStream();
      document.body.append(element);
      if (this.#speaker !== "") void setSink(element, this.#speaker).catch(() => undefined); // unplugged: the usual one
      this.#elements.push(element);
    }
    this.#playAll();
  }

  /**
   * play wants the room on so many tracks. Playing already on fewer, it changes over without a gap; on more, it goes on as it
   * is, because the node sends the mix on the first track to whoever has stepped down.
   */
  play(tracks: number): void {
    const idle = this.#keeper.line.at === "off" || this.#keeper.line.at === "refused";
    if (!idle && tracks <= this.#tracks) return;
    this.#tracks = tracks;
    if (idle) this.#keeper.start();
    else this.#keeper.replace();
  }

  /** move changes over to the route's node without a gap. */
  move(): void {
    if (this.#keeper.line.at !== "off") this.#keeper.replace();
  }

  /** escape changes over to a node that need not be the route's, if a session there comes up before signal aborts; see Keeper. */
  escape(base: string, signal: AbortSignal): Promise<boolean> {
    return this.#keeper.escape(base, signal);
  }

  /** received is what has come through the session that is heard; undefined where there is none. */
  async received(): Promise<Received | undefined> {
    const peer = this.#peer;
    return peer && { session: peer, bytes: receivedOf(await peer.getStats()) };
  }

  /** kick tries again now. */
  kick(): void {
    this.#keeper.kick();
  }

  /** close ends the sound until the next unlock and play. */
  close(): void {
    this.#keeper.stop();
    this.#receivers = [];
    for (const element of this.#elements.splice(0)) {
      element.pause();
      element.srcObject = null;
      element.remove();
    }
  }

  /** sources reports who was heard lately on any track: contributing sources of the mix, and of each speaker's own track. */
  sources(): Source[] {
    return this.#receivers.flatMap((receiver) => receiver.getContributingSources());
  }

  /**
   * mix makes each track as loud as the quietest of those who are heard on it now: the mix of the room is one track, so two who
   * talk at once are as loud as each other. Phones that leave loudness to their buttons take no notice.
   */
  mix(active: ReadonlySet<number>, volumeOf: (ssrc: number) => number): void {
    this.#receivers.forEach((receiver, i) => {
      const element = this.#elements[i];
      const heard = receiver.getContributingSources().filter(({ source }) => active.has(source));
      if (element && heard.length > 0) element.volume = Math.min(...heard.map(({ source }) => volumeOf(source)));
    });
  }

  /** playOn plays through a loudspeaker of the person's choice; "" is the browser's. */
  async playOn(device: string): Promise<void> {
    this.#speaker = device;
    await Promise.all(this.#elements.map((element) => setSink(element, device)));
  }

  async #attempt(opened: () => void, signal: AbortSignal, base: string): Promise<void> {
    const peer = openPeer();
    let session: string | null = null;
    try {
      const receivers = Array.from({ length: this.#tracks }, () => peer.addTransceiver("audio", { direction: "recvonly" }).receiver);
      await negotiate({ peer, api: this.#options.api, base, room: this.#options.room, kind: "whep", signal, accepted: (url) => (session = url) });
      this.#attach(receivers);
      this.#peer = peer;
      opened();
      await ended(peer, signal);
    } finally {
      if (this.#peer === peer) this.#peer = undefined;
      peer.close();
      if (session !== null) this.#options.api.hangUp(session);
    }
  }

  #attach(receivers: RTCRtpReceiver[]): void {
    this.#receivers = receivers;
    this.#elements.forEach((element, i) => {
      const track = receivers[i]?.track;
      element.srcObject = new MediaStream(track ? [track] : []);
    });
    this.#playAll();
  }

  #playAll(): void {
    for (const element of this.#elements) {
      element.play().then(
        () => {
          if (hasSound(element)) this.#options.blocked(false);
        },
        (error: unknown) => {
          // AbortError says that a newer stream took this one's place; only a refusal needs the person.
          if (error instanceof DOMException && error.name === "NotAllowedError" && hasSound(element)) this.#options.blocked(true);
        },
      );
    }
  }
}

async function setSink(element: HTMLAudioElement, device: string): Promise<void> {
  if ("setSinkId" in element) await element.setSinkId(device); // Safari has none
}

function hasSound(element: HTMLAudioElement): boolean {
  return element.srcObject instanceof MediaStream && element.srcObject.getTracks().length > 0;
}
