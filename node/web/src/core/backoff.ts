const first = 400;
const most = 15_000;

/**
 * backoff says how many milliseconds to wait before attempt n (1 is the first retry): twice as long each time up to a
 * bound, and anywhere in the upper half of that, so that ten thousand listeners of a dead node do not come back together.
 * `random` is uniform in [0, 1).
 */
export function backoff(attempt: number, random: number): number {
  const whole = Math.min(most, first * 2 ** Math.max(0, attempt - 1));
  return Math.round(whole * (0.5 + random / 2));
}
