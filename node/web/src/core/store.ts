/** Store holds one immutable value and tells listeners when it changed. */
export class Store<T extends object> {
  #value: T;
  readonly #listeners = new Set<() => void>();

  constructor(value: T) {
    this.#value = value;
  }

  get value(): T {
    return this.#value;
  }

  /** set merges a change in. Nothing is told when every field is what it was. */
  set(change: Partial<T>): void {
    const same = Object.entries(change).every(([key, value]) => Object.is(this.#value[key as keyof T], value));
    if (same) return;
    this.#value = { ...this.#value, ...change };
    for (const listener of [...this.#listeners]) listener();
  }

  /** subscribe calls listener after every change until the function it answers is called. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
