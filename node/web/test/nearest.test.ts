import assert from "node:assert/strict";
import { describe, mock, test } from "node:test";
import { capMs, nearest, timeNodes } from "../src/core/nearest.ts";

describe("nearest", () => {
  for (const [what, times, want] of [
    ["clearly nearer", { a: 180, b: 20 }, "b"],
    ["a little nearer is no reason", { a: 30, b: 15 }, "a"],
    ["nearer, but not by half", { a: 200, b: 150 }, "a"],
    ["the own node is the nearest", { a: 5, b: 100 }, "a"],
    ["the own node did not answer", { b: 250, c: 90 }, "c"],
    ["nobody answered", {}, "a"],
  ] as const) {
    test(what, () => assert.equal(nearest("a", new Map(Object.entries(times))), want));
  }
});

test("nodes are timed side by side, the fastest answer counts, and the slow are not waited for", async () => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
  let now = 0;
  const delays: Record<string, number[]> = { near: [60, 10, 12], far: [90, 80, 85], dead: [] };
  const asked: Record<string, number> = {};
  const ping = (base: string, signal: AbortSignal) =>
    new Promise<void>((resolve, reject) => {
      const nth = (asked[base] = (asked[base] ?? 0) + 1);
      const delay = delays[base]![nth - 1];
      if (base === "broken") reject(new TypeError("nobody there"));
      else if (delay !== undefined) setTimeout(resolve, delay);
      signal.addEventListener("abort", () => reject(new Error("too late")));
    });
  delays.broken = [];
  const timed = timeNodes(["near", "far", "dead", "broken"], ping, () => now);
  for (; now <= capMs; now++) {
    mock.timers.tick(1);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const times = await timed;
  assert.deepEqual([...times.keys()].sort(), ["far", "near"]);
  assert.ok(times.get("near")! <= 12 && times.get("far")! <= 86, JSON.stringify([...times]));
  assert.deepEqual(asked, { near: 3, far: 3, dead: 1, broken: 1 });
  mock.timers.reset();
});
