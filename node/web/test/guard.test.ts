import assert from "node:assert/strict";
import { beforeEach, describe, mock, test } from "node:test";
import { Problem } from "../src/core/problem.ts";
import type { Received } from "../src/room/guard.ts";
import { Guard } from "../src/room/guard.ts";

const settled = () => new Promise((resolve) => setImmediate(resolve));

/** One try to open a session, held by the test. */
interface Try {
  base: string;
  signal: AbortSignal;
  up: () => void;
  fail: (error: Error) => void;
}

describe("guard", () => {
  let now: number;
  let received: Received | undefined;
  let alive: Set<string>; // who answers
  let asked: string[];
  let tries: Try[];
  let gone: string[];
  let guard: Guard;

  beforeEach(() => {
    mock.timers.reset();
    mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
    now = 0;
    received = { session: {}, bytes: 1 };
    alive = new Set(["b", "c"]);
    asked = [];
    tries = [];
    gone = [];
    guard = new Guard({
      received: async () => received && { ...received },
      base: () => "a",
      candidates: () => ["a", "b", "c"].map((base) => ({ base, region: "eu" })),
      ask: (base, signal) => {
        asked.push(base);
        if (alive.has(base)) return Promise.resolve();
        return new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("no answer"))));
      },
      go: (base, signal) =>
        new Promise((resolve, reject) => {
          tries.push({ base, signal, up: () => resolve(true), fail: reject });
          signal.addEventListener("abort", () => resolve(false));
        }),
      gone: (base) => gone.push(base),
      now: () => now,
    });
    guard.start();
  });

  /** pass lets time pass, with something coming at every look or nothing. */
  const pass = async (ms: number, comes: boolean) => {
    for (const end = now + ms; now < end; ) {
      now += 50;
      if (comes && received) received.bytes++;
      mock.timers.tick(50);
      await settled();
    }
  };

  test("stays while anything comes, and while there is no session", async () => {
    await pass(2_000, true);
    received = undefined;
    await pass(2_000, false);
    assert.deepEqual([asked, tries.length], [[], 0]);
  });

  test("asks the others at once and goes to the first that answers", async () => {
    alive = new Set(["c"]);
    await pass(1_000, true);
    await pass(500, false);
    assert.deepEqual(asked.sort(), ["b", "c"]);
    assert.equal(guard.fleeing, true);
    assert.deepEqual(tries.map(({ base }) => base), ["c"]);
    tries[0]!.up();
    await settled();
    assert.deepEqual([gone, guard.fleeing], [["c"], false]);
  });

  test("a node that is heard again is stayed with", async () => {
    await pass(500, true);
    await pass(500, false);
    assert.equal(tries.length, 1);
    await pass(50, true);
    assert.deepEqual([tries[0]!.signal.aborted, guard.fleeing, gone.length], [true, false, 0]);
    await pass(500, false);
    assert.equal(tries.length, 1, "it is given more time now");
    await pass(500, false);
    assert.equal(tries.length, 2);
  });

  test("a session that does not come up is no way out: the next is tried, and all again after a while", async () => {
    await pass(500, true);
    await pass(500, false);
    const first = tries[0]!.base;
    await pass(1_600, false);
    assert.equal(tries[0]!.signal.aborted, true);
    assert.notEqual(tries[1]!.base, first);
    tries[1]!.fail(new Problem(503, "full", "", [], [], 5_000));
    await pass(1_000, false);
    assert.deepEqual(tries.slice(2).map(({ base }) => base), [first], "who asks for time is given it");
    tries[2]!.up();
    await settled();
    assert.deepEqual(gone, [first]);
  });

  test("a session that came otherwise ends the search", async () => {
    await pass(500, true);
    await pass(500, false);
    received = { session: {}, bytes: 1 };
    await pass(50, true);
    assert.deepEqual([tries[0]!.signal.aborted, guard.fleeing], [true, false]);
  });

  test("stopped, it does nothing more", async () => {
    await pass(500, true);
    await pass(500, false);
    guard.stop();
    await pass(5_000, false);
    assert.deepEqual([tries.length, tries[0]!.signal.aborted, guard.fleeing], [1, true, false]);
  });
});
