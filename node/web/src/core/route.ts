/** Failures in a row, on any line, after which the next node is tried. One may be a hiccup. */
const failuresMax = 2;

/**
 * Route chooses the node to speak to. It starts on the node that served the page, learns the others while things are well
 * (a dead node cannot be asked), and moves on when the current one keeps failing. It never moves back by itself: a listener
 * who found a good node stays.
 */
export class Route {
  #bases: string[];
  #current = 0;
  #failures = 0;

  constructor(own: string) {
    this.#bases = [own];
  }

  /** base is the origin of the node to use now, without a slash at its end. */
  get base(): string {
    return this.#bases[this.#current] ?? "";
  }

  /** others are the nodes that could be used instead, in the order they would be tried. */
  get others(): string[] {
    return [...this.#bases.slice(this.#current + 1), ...this.#bases.slice(0, this.#current)];
  }

  /** learn takes the nodes that a node named, best guess first. The current one stays current. */
  learn(bases: readonly string[]): void {
    const current = this.base;
    const clean = bases.map(origin).filter((base) => base !== "" && base !== current);
    this.#bases = [current, ...new Set(clean)];
    this.#current = 0;
  }

  /** succeeded forgets the failures of base. */
  succeeded(base: string): void {
    if (base === this.base) this.#failures = 0;
  }

  /**
   * move goes to the first of the nodes that a node which is being emptied has named, and reports whether it did: not when it
   * is at one of them already. The present node stays the last way out.
   */
  move(bases: readonly string[]): boolean {
    const clean = [...new Set(bases.map(origin).filter((base) => base !== ""))];
    if (clean.length === 0 || clean.includes(this.base)) return false;
    this.#bases = [...clean, this.base];
    this.#current = 0;
    this.#failures = 0;
    return true;
  }

  /**
   * failed notes a failure of base and reports whether the route moved to another node. Late news of an earlier one is ignored.
   * sure: the node itself says that another one has to be asked.
   */
  failed(base: string, sure = false): boolean {
    if (base !== this.base) return false;
    this.#failures++;
    if ((this.#failures < failuresMax && !sure) || this.#bases.length < 2) return false;
    this.#failures = 0;
    this.#current = (this.#current + 1) % this.#bases.length;
    return true;
  }
}

/** origin is the scheme and host of an http(s) URL, or "" for anything else. */
function origin(url: string): string {
  try {
    const parsed = new URL(url);
    return parsed.protocol === "http:" || parsed.protocol === "https:" ? parsed.origin : "";
  } catch {
    return "";
  }
}
