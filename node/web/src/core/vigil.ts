/**
 * The clients' rule for a node that has fallen silent: when to doubt it and whom to ask instead. It is that of Go's package
 * node/vigil, which says why; both are held to the same stories (node/vigil/testdata/stories.json). Times are milliseconds, `random`
 * is uniform in [0, 1).
 */

/** How long a node may be silent at least before it is doubted: two signs of life and what a network adds. */
const patienceMin = 300;
/** What false alarms make of it at most. */
const patienceMax = 16 * patienceMin;
/** How long after its last false alarm a session is as patient as it was at the beginning. */
const calmAfter = 60_000;
/** How much silence one look can tell of: where looks are further apart, it was the page that stood still. */
const lookMax = 150;

/** How often to look. */
export const lookEvery = 50;

/** What a look has found: the node is to be doubted, or that was a false alarm. Each is said once; most looks say nothing. */
export type Verdict = "silent" | "back" | "";

/** Watch watches one session, which has begun just now. */
export class Watch {
  readonly #spread: number;
  #patience = patienceMin;
  #quiet = 0; // that has been seen
  #looked: number | undefined;
  #alarmed: number | undefined; // the last false alarm
  #silent = false;

  constructor(random: number) {
    this.#spread = random;
  }

  /** silent reports whether the node is doubted. */
  get silent(): boolean {
    return this.#silent;
  }

  /** look says what follows from whether something has come since the last look. */
  look(now: number, came: boolean): Verdict {
    const passed = now - (this.#looked ?? now);
    this.#looked = now;
    if (this.#alarmed !== undefined && now - this.#alarmed >= calmAfter) {
      this.#patience = patienceMin;
      this.#alarmed = undefined;
    }
    if (came) {
      this.#quiet = 0;
      if (!this.#silent) return "";
      this.#silent = false;
      this.#alarmed = now;
      this.#patience = Math.min(2 * this.#patience, patienceMax);
      return "back";
    }
    this.#quiet += Math.min(passed, lookMax);
    if (this.#silent || this.#quiet < this.#patience + (this.#spread * this.#patience) / 3) return "";
    this.#silent = true;
    return "silent";
  }
}

/** How many nodes are asked at once. */
export const askMax = 3;

/** A node that could serve. */
export interface Candidate {
  base: string; // its origin
  region: string; // "": not known
}

/**
 * order says in which order to ask the nodes of a list, the best guess first, when that of base falls silent: askMax of them at a
 * time. Everybody draws an order of their own, in which the better guesses are likelier to come early: the crowd of a lost node must
 * not all go to one. Where there is a node in another region, one of the first askMax is: a region may be lost as a whole.
 */
export function order(nodes: readonly Candidate[], base: string, random: () => number): string[] {
  const left = nodes.filter((node) => node.base !== base);
  const region = nodes.find((node) => node.base === base)?.region ?? "";
  const drawn: Candidate[] = [];
  while (left.length > 0) {
    // The first is taken by half, the next by half of the rest, and so on.
    let i = 0;
    for (let r = random(); r >= 0.5 && i < left.length - 1; i++) r = 2 * r - 1;
    drawn.push(...left.splice(i, 1));
  }
  const away = drawn.findIndex((node) => node.region !== region);
  if (away >= askMax) drawn.splice(askMax - 1, 0, ...drawn.splice(away, 1));
  return drawn.map((node) => node.base);
}

/**
 * receivedOf is how many bytes a connection has received, checks of its path left out, by what it reports of itself: browsers count
 * on the transport (Chromium, Safari) or on the pairs of addresses (Firefox). Only that it grows means something.
 */
export function receivedOf(report: Iterable<[string, { type?: unknown; bytesReceived?: unknown }]>): number {
  let sum = 0;
  for (const [, { type, bytesReceived }] of report) {
    if ((type === "transport" || type === "candidate-pair") && typeof bytesReceived === "number") sum += bytesReceived;
  }
  return sum;
}
