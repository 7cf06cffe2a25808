import { backoff } from "../core/backoff.ts";
import { Problem } from "../core/problem.ts";
import type { Candidate } from "../core/vigil.ts";
import { askMax, lookEvery, order, Watch } from "../core/vigil.ts";

/** How long a node may take to say that it has the room. */
const askMs = 500;
/** How long a session at a node that has said so may take to come up before the next node is tried. */
const goMs = 1_500;

/** What a session has received so far. */
export interface Received {
  session: object; // which; another one begins at nothing
  bytes: number;
}

/** What a guard needs. */
export interface GuardOptions {
  /** What the session that is heard has received; undefined: there is none. */
  received: () => Promise<Received | undefined>;
  /** The node that is heard, and all that could be. */
  base: () => string;
  candidates: () => readonly Candidate[];
  /** Asks a node whether it has the room; it rejects where it does not, or signal aborts it. */
  ask: (base: string, signal: AbortSignal) => Promise<void>;
  /** Opens a second session at a node, and answers whether it is up; until then, the first goes on. It rejects with a refusal. */
  go: (base: string, signal: AbortSignal) => Promise<boolean>;
  /** A session at that node has taken the silent one's place. */
  gone: (base: string) => void;
  /** A clock in ms that no one sets. */
  now: () => number;
}

/**
 * Guard looks after the node that is heard, by core/vigil.ts, and finds another when it falls silent: it asks a few at once and opens a
 * second session at the first that answers. Should the silent one be heard again before that is up, it is stayed with.
 */
export class Guard {
  readonly #options: GuardOptions;
  #timer: ReturnType<typeof setInterval> | undefined;
  #looking = false;
  #watch = new Watch(0);
  #last: Received | undefined; // of the session that is watched
  #flight: AbortController | undefined; // while the node is doubted
  readonly #busy = new Map<string, number>(); // by node: when it may be asked again, by its own word

  constructor(options: GuardOptions) {
    this.#options = options;
  }

  /** fleeing reports whether another node is being looked for. */
  get fleeing(): boolean {
    return this.#flight !== undefined;
  }

  start(): void {
    // Browsers slow down timers of pages in the background, but not of those that are heard or hold a connection like this one.
    this.#timer ??= setInterval(() => void this.#look(), lookEvery);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#last = undefined;
    this.#land();
  }

  async #look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    const now = await this.#options.received().catch(() => undefined);
    this.#looking = false;
    if (!now || this.#timer === undefined) return;
    if (now.session !== this.#last?.session) {
      this.#watch = new Watch(Math.random());
      this.#last = { session: now.session, bytes: -1 };
      this.#land();
    }
    const came = now.bytes !== this.#last.bytes;
    this.#last = now;
    const verdict = this.#watch.look(this.#options.now(), came);
    if (verdict === "silent") void this.#flee();
    else if (verdict === "back") this.#land();
  }

  #land(): void {
    this.#flight?.abort();
    this.#flight = undefined;
  }

  /** flee looks for another node until there is one, or none is wanted any more. */
  async #flee(): Promise<void> {
    const flight = new AbortController();
    this.#flight = flight;
    const { base, candidates } = this.#options;
    for (let round = 1; !flight.signal.aborted; round++) {
      const now = this.#options.now();
      const left = order(candidates(), base(), Math.random).filter((each) => (this.#busy.get(each) ?? 0) <= now);
      while (left.length > 0 && !flight.signal.aborted) {
        if (await this.#tryOf(left.splice(0, askMax), flight.signal)) return;
      }
      await pause(backoff(round, Math.random()), flight.signal);
    }
  }

  /** tryOf tries a few nodes, in the order in which they answer, and reports whether one was gone to. */
  async #tryOf(bases: readonly string[], flight: AbortSignal): Promise<boolean> {
    const asking = new Map(
      bases.map((base) => [base, within(askMs, flight, (signal) => this.#options.ask(base, signal)).then(() => base)]), //
    );
    while (asking.size > 0) {
      const base = await Promise.any(asking.values()).catch(() => undefined);
      if (base === undefined || flight.aborted) return false;
      asking.delete(base);
      if (!(await within(goMs, flight, (signal) => this.#options.go(base, signal)).catch((error: unknown) => this.#refused(base, error)))) continue;
      if (this.#flight?.signal === flight) this.#flight = undefined;
      this.#options.gone(base);
      return true;
    }
    return false;
  }

  /** refused remembers how long a node asks not to be asked. */
  #refused(base: string, error: unknown): boolean {
    if (error instanceof Problem && error.after > 0) this.#busy.set(base, this.#options.now() + error.after);
    return false;
  }
}

/** within gives work a signal that aborts after some time, or when outer does. */
async function within<T>(ms: number, outer: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const limit = new AbortController();
  const abort = () => limit.abort();
  const timer = setTimeout(abort, ms);
  outer.addEventListener("abort", abort, { once: true });
  if (outer.aborted) abort();
  try {
    return await work(limit.signal);
  } finally {
    clearTimeout(timer);
    outer.removeEventListener("abort", abort);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    const cut = () => {
      clearTimeout(timer);
      resolve();
    };
    if (signal.aborted) cut();
    else signal.addEventListener("abort", cut, { once: true });
  });
}
