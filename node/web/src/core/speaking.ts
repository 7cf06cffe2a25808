/** One entry of RTCRtpReceiver.getContributingSources(). */
export interface Source {
  source: number; // SSRC of a speaker, as the room's view names it
  timestamp: number; // when it was last heard, on whatever clock the browser uses
}

/** How long somebody stays lit after their last packet: longer than the gap between two words. */
export const holdMs = 350;

/** Browsers report a source for 10 seconds; anybody silent for longer than that is forgotten here too. */
const forgetMs = 15_000;

/**
 * Speaking turns the sources that receivers report into the set of people who speak now. Browsers keep reporting a source
 * for ten seconds after its last packet (WebRTC §5.3), and do not agree which clock its timestamp is on, so what counts is
 * that the timestamp moved since the last look.
 */
export class Speaking {
  #seen = new Map<number, { timestamp: number; heard: number }>();

  /** observe takes one look at all receivers. `now` is the caller's clock in milliseconds. */
  observe(now: number, sources: Iterable<Source>): void {
    for (const { source, timestamp } of sources) {
      const entry = this.#seen.get(source);
      if (!entry) this.#seen.set(source, { timestamp, heard: now });
      else if (timestamp > entry.timestamp) {
        entry.timestamp = timestamp;
        entry.heard = now;
      }
    }
    for (const [source, entry] of this.#seen) {
      if (now - entry.heard > forgetMs) this.#seen.delete(source);
    }
  }

  /** active lists who speaks, in ascending order of SSRC. */
  active(now: number): number[] {
    const active: number[] = [];
    for (const [source, entry] of this.#seen) {
      if (now - entry.heard <= holdMs) active.push(source);
    }
    return active.sort((a, b) => a - b);
  }

  /** reset forgets everything: another connection reports other timestamps. */
  reset(): void {
    this.#seen.clear();
  }
}

/** sameSet compares two sorted lists. */
export function sameSet(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i]);
}
