/** How many nodes are timed: those that a node ranks best. */
export const candidatesMax = 5;
/** How long the nodes are timed. Who has not answered by then is far, or busy. */
export const capMs = 300;
/** Answers per node; the fastest counts, because the first pays for the connection. */
const tries = 3;
/** A node is gone to only if it is nearer by this much, and by half: what changes between two looks is no reason to move. */
const marginMs = 20;

/** Ping asks a node for an answer without content. */
export type Ping = (base: string, signal: AbortSignal) => Promise<void>;

/**
 * timeNodes asks all nodes at once, a few times each, and answers the shortest time of each that answered within the cap. now is a
 * clock in milliseconds.
 */
export async function timeNodes(bases: readonly string[], ping: Ping, now: () => number): Promise<Map<string, number>> {
  const times = new Map<string, number>();
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), capMs);
  const time = async (base: string) => {
    for (let i = 0; i < tries; i++) {
      const start = now();
      await ping(base, limit.signal);
      if (limit.signal.aborted) return;
      times.set(base, Math.min(times.get(base) ?? Infinity, now() - start));
    }
  };
  try {
    await Promise.allSettled(bases.map(time));
  } finally {
    clearTimeout(timer);
  }
  return times;
}

/** nearest is the node to use: own, unless another one is clearly nearer, or own has not answered and another has. */
export function nearest(own: string, times: ReadonlyMap<string, number>): string {
  let best = own;
  for (const [base, ms] of times) {
    if (ms < (times.get(best) ?? Infinity)) best = base;
  }
  const mine = times.get(own);
  if (best === own || mine === undefined) return best;
  const theirs = times.get(best)!;
  return mine - theirs >= marginMs && theirs <= mine / 2 ? best : own;
}
