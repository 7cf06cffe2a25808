import type { Api } from "../core/api.ts";
import { candidatesMax, nearest, timeNodes } from "../core/nearest.ts";
import type { Route } from "../core/route.ts";
import type { Candidate } from "../core/vigil.ts";

/**
 * How often the nodes are listed anew, and the likeliest asked for a sign of life, while the room is heard: a node keeps a connection
 * open for a minute, so the next one that is needed has one. Each page adds up to a third of its own.
 */
const readyMs = 36_000;
/** How many of them are kept within reach. */
const readyMax = 2;

/** Nodes is what a page knows of the nodes that serve its room. */
export class Nodes {
  readonly #api: Api;
  readonly #room: string;
  readonly #route: Route;
  readonly #known = new Map<string, { node: string; region: string }>(); // by origin
  #times: ReadonlyMap<string, number> = new Map(); // origin → shortest answer in ms
  #ready: ReturnType<typeof setInterval> | undefined;

  constructor(api: Api, room: string, route: Route) {
    this.#api = api;
    this.#room = room;
    this.#route = route;
  }

  /** nearest lists the nodes, times the first few and answers which to use. */
  async nearest(): Promise<string> {
    await this.#list();
    const own = this.#route.base;
    this.#times = await this.#time([own, ...this.#route.others].slice(0, candidatesMax));
    return nearest(own, this.#times);
  }

  /** candidates are all that could serve, the present one among them. */
  candidates(): Candidate[] {
    return [this.#route.base, ...this.#route.others].map((base) => ({ base, region: this.#known.get(base)?.region ?? "" }));
  }

  /** place says which node that is, and how far it was when it was timed; null where its name is not known. */
  place(base: string): { node: string; ms: number | null } | null {
    const node = this.#known.get(base)?.node;
    const ms = this.#times.get(base);
    return node === undefined ? null : { node, ms: ms === undefined ? null : Math.round(ms) };
  }

  /** stayReady keeps what is known new, and the likeliest within reach, until stop. */
  stayReady(): void {
    this.#ready ??= setInterval(() => void this.#refresh(), readyMs * (1 + Math.random() / 3));
  }

  stop(): void {
    clearInterval(this.#ready);
    this.#ready = undefined;
  }

  async #refresh(): Promise<void> {
    try {
      await this.#list();
      await this.#time(this.#route.others.slice(0, readyMax));
    } catch {
      // it goes on with those that it knows
    }
  }

  async #list(): Promise<void> {
    const edges = await this.#api.edges(this.#room);
    for (const { url, node, region } of edges) this.#known.set(new URL(url).origin, { node, region });
    this.#route.learn(edges.map((edge) => edge.url));
  }

  #time(bases: readonly string[]): Promise<Map<string, number>> {
    return timeNodes(bases, (base, signal) => this.#api.ping(base, signal), () => performance.now());
  }
}
