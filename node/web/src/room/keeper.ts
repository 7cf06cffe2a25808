import { backoff } from "../core/backoff.ts";
import type { Line, LineEvent } from "../core/line.ts";
import { advance, attempts, off } from "../core/line.ts";
import { Problem } from "../core/problem.ts";
import type { Route } from "../core/route.ts";

/**
 * Attempt runs one connection to the node at base from its first byte to its end. It calls opened once it is of use, and returns or
 * throws when it is lost; when signal aborts it cleans up and returns soon.
 */
export type Attempt = (opened: () => void, signal: AbortSignal, base: string) => Promise<void>;

/** What a keeper needs. */
export interface KeeperOptions {
  attempt: Attempt;
  changed: (line: Line, error: unknown) => void;
  route: Route;
  /**
   * How long a connection that was replaced goes on beside its successor, in ms, unless it is lost before; should the successor be
   * lost first, it stays. 0: it ends when the successor is up.
   */
  beside?: number;
}

/**
 * Keeper keeps one connection alive while it is wanted: it runs attempts, waits between them as line.ts decides, and tells
 * the route which node failed. It is the one place with timers for reconnecting.
 */
export class Keeper {
  #line: Line = off;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #alive = new Set<AbortController>(); // two while one connection replaces another
  readonly #trials = new Set<AbortController>(); // escapes that are not up
  #newest: AbortController | undefined;
  #misses = 0; // replacements in a row that failed

  readonly #attempt: Attempt;
  readonly #changed: (line: Line, error: unknown) => void;
  readonly #route: Route;
  readonly #beside: number;
  #parting: ReturnType<typeof setTimeout> | undefined; // while a connection goes on beside its successor

  constructor(options: KeeperOptions) {
    this.#attempt = options.attempt;
    this.#changed = options.changed;
    this.#route = options.route;
    this.#beside = options.beside ?? 0;
  }

  get line(): Line {
    return this.#line;
  }

  /** start wants the connection. Started already, it does nothing. */
  start(): void {
    if (this.#line.at !== "off" && this.#line.at !== "refused") return;
    this.#step({ is: "wanted" });
    void this.#run();
  }

  /** stop ends the connection and every attempt under way. */
  stop(): void {
    this.#end();
    this.#step({ is: "unwanted" });
  }

  /** kick cuts a wait short: the network came back, or the route moved. */
  kick(): void {
    if (this.#line.at !== "waiting") return;
    clearTimeout(this.#timer);
    this.#step({ is: "due" });
    void this.#run();
  }

  /** replace opens a second connection and drops the first when the second is up, so that nobody hears a gap. */
  replace(): void {
    if (this.#line.at === "up") void this.#run();
    else if (this.#line.at === "connecting") this.#restart();
    else this.kick();
  }

  /**
   * escape tries a second connection, at a node that need not be the route's, until signal aborts it. It takes the place of the first
   * when it is up, and is worth nothing until then: should it fail, all is as it was. It answers whether it came up, and rejects with
   * the node's refusal.
   */
  async escape(base: string, signal: AbortSignal): Promise<boolean> {
    if (this.#line.at === "off" || this.#line.at === "refused") return false;
    const controller = new AbortController();
    const abort = () => controller.abort();
    signal.addEventListener("abort", abort, { once: true });
    this.#trials.add(controller);
    const trying = new Promise<boolean>((settle, fail) => {
      const opened = () => {
        if (controller.signal.aborted) return;
        this.#trials.delete(controller);
        this.#alive.add(controller);
        this.#newest = controller;
        this.#opened(controller, base);
        settle(true);
      };
      void this.#follow(controller, base, opened).then((failure) => (failure instanceof Problem ? fail(failure) : settle(false)));
    });
    try {
      return await trying;
    } finally {
      this.#trials.delete(controller);
      signal.removeEventListener("abort", abort); // what is up belongs to the line
    }
  }

  #restart(): void {
    this.#end();
    void this.#run();
  }

  #end(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#parting);
    for (const controller of [...this.#alive, ...this.#trials]) controller.abort();
    this.#alive.clear();
    this.#trials.clear();
  }

  async #run(): Promise<void> {
    const controller = new AbortController();
    const base = this.#route.base;
    this.#alive.add(controller);
    this.#newest = controller;
    await this.#follow(controller, base, () => this.#opened(controller, base));
  }

  /** follow goes with an attempt to its end, does what that calls for, and answers why it ended. */
  async #follow(controller: AbortController, base: string, opened: () => void): Promise<unknown> {
    let failure: unknown;
    try {
      await this.#attempt(opened, controller.signal, base);
    } catch (error) {
      failure = error;
    }
    this.#alive.delete(controller);
    // An attempt that was told to end, or that has a successor under way, is nobody's loss.
    if (controller.signal.aborted || this.#newest !== controller) return failure;
    const [old] = this.#alive;
    if (old && !(failure instanceof Problem && failure.final)) {
      this.#missed(old, base, failure);
      return failure;
    }
    this.#end();
    this.#lost(base, failure);
    return failure;
  }

  /** missed goes on with the connection that was to be replaced, and tries to replace it again in a while. */
  #missed(old: AbortController, base: string, failure: unknown): void {
    clearTimeout(this.#parting); // the old one stays
    this.#newest = old;
    const moved = this.#move(base, failure);
    this.#timer = setTimeout(() => this.replace(), moved ? 0 : wait(++this.#misses, failure));
  }

  #opened(controller: AbortController, base: string): void {
    if (controller.signal.aborted) return;
    clearTimeout(this.#timer); // a try that was to come, or another change of connections
    const alive = [...this.#alive]; // in the order in which they began: what began later is to take this one's place
    const before = alive.slice(0, alive.indexOf(controller));
    const part = () => {
      for (const other of before) other.abort();
    };
    clearTimeout(this.#parting);
    if (before.length > 0 && this.#beside > 0) this.#parting = setTimeout(part, this.#beside);
    else part();
    this.#misses = 0;
    this.#route.succeeded(base);
    if (this.#line.at === "waiting") this.#step({ is: "due" }); // an escape did not wait
    this.#step({ is: "opened" });
  }

  #lost(base: string, failure: unknown): void {
    if (failure instanceof Problem && failure.final) {
      this.#step({ is: "refused", status: failure.status }, failure);
      return;
    }
    const moved = this.#move(base, failure);
    const delay = moved ? 0 : wait(attempts(this.#line) + 1, failure);
    this.#step({ is: "lost", now: performance.now(), delay }, failure);
    this.#timer = setTimeout(() => this.kick(), delay);
  }

  /** move goes on to another node where that is called for: one that the node itself has named, or the next. */
  #move(base: string, failure: unknown): boolean {
    if (base === this.#route.base && failure instanceof Problem && elsewhere(failure) && failure.bases.length > 0) {
      return this.#route.move(failure.bases);
    }
    return this.#route.failed(base, elsewhere(failure));
  }

  #step(event: LineEvent, error?: unknown): void {
    const next = advance(this.#line, event);
    if (next === this.#line) return;
    this.#line = next;
    this.#changed(next, error);
  }
}

/** wait is how many ms to wait before attempt n: at least as long as the node asks for. */
function wait(n: number, failure: unknown): number {
  const asked = failure instanceof Problem ? failure.after : 0;
  return Math.max(backoff(n, Math.random()), Math.round(asked * (1 + Math.random() / 3)));
}

/** elsewhere reports whether a node says that it takes nobody and another has to be asked. */
function elsewhere(failure: unknown): boolean {
  return failure instanceof Problem && failure.slug === "elsewhere";
}
