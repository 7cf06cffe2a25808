import { meter } from "../core/level.ts";

/** What browsers do to a voice before it is sent. All three off is right for music, and for measuring. */
export interface Filters {
  echo: boolean;
  noise: boolean;
  gain: boolean;
}

/** capture asks the person for a microphone. It rejects with a DOMException where there is none or it is refused. */
export async function capture(filters: Filters, device: string): Promise<MediaStream> {
  const devices = navigator.mediaDevices as MediaDevices | undefined; // absent on pages that are not secure
  if (!devices) throw new DOMException("microphones are for secure pages", "SecurityError");
  return devices.getUserMedia({
    audio: {
      echoCancellation: filters.echo,
      noiseSuppression: filters.noise,
      autoGainControl: filters.gain,
      channelCount: 1,
      ...(device === "" ? {} : { deviceId: { exact: device } }),
    },
  });
}

/** Ear meters a copy of a track, which stays open while the track itself is muted. */
export class Ear {
  readonly #track: MediaStreamTrack;
  readonly #context = new AudioContext();
  readonly #analyser = this.#context.createAnalyser();
  readonly #samples: Float32Array<ArrayBuffer>;

  constructor(original: MediaStreamTrack) {
    this.#track = original.clone();
    this.#track.enabled = true;
    this.#analyser.fftSize = 1024;
    this.#samples = new Float32Array(this.#analyser.fftSize);
    this.#context.createMediaStreamSource(new MediaStream([this.#track])).connect(this.#analyser);
    void this.#context.resume();
  }

  /** level is how loud it is now, 0…1. */
  level(): number {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    return meter(this.#samples);
  }

  close(): void {
    this.#track.stop();
    void this.#context.close();
  }
}

/** MicrophoneTest is a microphone that nobody hears. */
export class MicrophoneTest {
  readonly #stream: MediaStream;
  readonly #ear: Ear;

  private constructor(stream: MediaStream, track: MediaStreamTrack) {
    this.#stream = stream;
    this.#ear = new Ear(track);
  }

  /** open rejects as capture does. */
  static async open(filters: Filters, device: string): Promise<MicrophoneTest> {
    const stream = await capture(filters, device);
    const track = stream.getAudioTracks()[0];
    if (!track) throw new DOMException("no track", "NotFoundError");
    return new MicrophoneTest(stream, track);
  }

  level(): number {
    return this.#ear.level();
  }

  close(): void {
    this.#ear.close();
    for (const track of this.#stream.getTracks()) track.stop();
  }
}
