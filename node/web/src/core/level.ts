/** What a person is told about a microphone while it is muted. */
const mutedHintMs = 900;
/** Level, as the meter shows it, above which somebody is surely talking. */
const talking = 0.35;

/** meter maps samples (-1 to 1) to 0…1 on a scale that looks right: −60 dBFS is nothing, −6 dBFS is full. */
export function meter(samples: Float32Array): number {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  const rms = Math.sqrt(sum / Math.max(1, samples.length));
  const decibels = 20 * Math.log10(Math.max(rms, 1e-6));
  return Math.min(1, Math.max(0, (decibels + 60) / 54));
}

/** TalkingWhileMuted notices somebody who talks into a microphone that is off. */
export class TalkingWhileMuted {
  #since: number | undefined;

  /** observe takes the level now (milliseconds, caller's clock) and reports whether to say something. */
  observe(now: number, level: number, muted: boolean): boolean {
    if (!muted || level < talking) {
      this.#since = undefined;
      return false;
    }
    this.#since ??= now;
    return now - this.#since >= mutedHintMs;
  }
}
