import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { backoff } from "../src/core/backoff.ts";
import { meter, TalkingWhileMuted } from "../src/core/level.ts";
import type { Line, LineEvent } from "../src/core/line.ts";
import { advance, off, phaseOf } from "../src/core/line.ts";
import type { Json } from "../src/core/merge-patch.ts";
import { mergePatch } from "../src/core/merge-patch.ts";
import { initials, tint, tints } from "../src/core/person.ts";
import { linkOf, newKey, placeOf, signInOf, speakersLinkOf, withoutKey, withoutSignIn, withoutToken } from "../src/core/place.ts";
import { Route } from "../src/core/route.ts";
import { holdMs, Speaking } from "../src/core/speaking.ts";
import { EventParser } from "../src/core/sse.ts";
import { Store } from "../src/core/store.ts";

// RFC 7396, appendix A: original, patch, result.
const appendixA: Array<[Json, Json, Json]> = [
  [{ a: "b" }, { a: "c" }, { a: "c" }],
  [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
  [{ a: "b" }, { a: null }, {}],
  [{ a: "b", b: "c" }, { a: null }, { b: "c" }],
  [{ a: ["b"] }, { a: "c" }, { a: "c" }],
  [{ a: "c" }, { a: ["b"] }, { a: ["b"] }],
  [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
  [{ a: [{ b: "c" }] }, { a: [1] }, { a: [1] }],
  [["a", "b"], ["c", "d"], ["c", "d"]],
  [{ a: "b" }, ["c"], ["c"]],
  [{ a: "foo" }, null, null],
  [{ a: "foo" }, "bar", "bar"],
  [{ e: null }, { a: 1 }, { e: null, a: 1 }],
  [[1, 2], { a: "b", c: null }, { a: "b" }],
  [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
];

describe("merge patch", () => {
  for (const [target, patch, want] of appendixA) {
    test(`${JSON.stringify(target)} + ${JSON.stringify(patch)}`, () => {
      const before = JSON.stringify(target);
      assert.equal(JSON.stringify(mergePatch(target, patch)), JSON.stringify(want));
      assert.equal(JSON.stringify(target), before, "the target was changed");
    });
  }

  test("shares what did not change", () => {
    const target = { participants: { ada: { muted: false } }, requests: { bob: { order: 1 } } };
    const result = mergePatch(target, { participants: { ada: { muted: true } } }) as typeof target;
    assert.equal(result.requests, target.requests);
    assert.notEqual(result.participants, target.participants);
  });

  test("a key named __proto__ is only a key", () => {
    const result = mergePatch({}, JSON.parse('{"__proto__": {"role": "host"}}') as Json) as { role?: string };
    assert.equal(result.role, undefined);
    assert.equal(({} as { role?: string }).role, undefined);
  });
});

describe("event stream", () => {
  const stream =
    "\uFEFF: keepalive\r\n\r\nretry: 1500\nevent: snapshot\nid: 7\ndata: {\"seq\":7,\ndata: \"title\":\"Grüße\"}\n\n" +
    "event: muted\rid:8\rdata:{}\r\rid: 9\n\nevent: lost without data\n\ndata\n\n";
  const want = [
    { type: "snapshot", id: "7", data: '{"seq":7,\n"title":"Grüße"}' },
    { type: "muted", id: "8", data: "{}" },
    { type: "message", id: "9", data: "" },
  ];

  test("whole, and cut at every place", () => {
    for (let cut = 0; cut <= stream.length; cut++) {
      const parser = new EventParser();
      const got = [...parser.push(stream.slice(0, cut)), ...parser.push(stream.slice(cut))];
      assert.deepEqual(got, want, `cut at ${cut}`);
      assert.equal(parser.retry, 1500);
      assert.equal(parser.lastId, "9");
    }
  });

  test("one character at a time", () => {
    const parser = new EventParser();
    assert.deepEqual([...stream].flatMap((character) => parser.push(character)), want);
  });

  test("an event that the connection cut off is not delivered", () => {
    assert.deepEqual(new EventParser().push("event: muted\nid: 8\ndata: {}\n"), []);
  });

  test("an endless line is refused", () => {
    const parser = new EventParser();
    assert.throws(() => parser.push("data: " + "x".repeat(5 * 1024 * 1024)), RangeError);
  });
});

test("backoff grows, is bounded, and is never the same for all", () => {
  assert.deepEqual([1, 2, 3, 4].map((attempt) => backoff(attempt, 0)), [200, 400, 800, 1600]);
  assert.deepEqual([1, 2, 3, 4].map((attempt) => backoff(attempt, 1)), [400, 800, 1600, 3200]);
  assert.equal(backoff(1000, 1), 15_000);
  assert.equal(backoff(1000, 0), 7_500);
});

describe("line", () => {
  const steps = (...events: LineEvent[]): Line => events.reduce(advance, off);
  const lost: LineEvent = { is: "lost", now: 1000, delay: 400 };

  test("connects, is lost, waits, comes back", () => {
    assert.deepEqual(steps({ is: "wanted" }), { at: "connecting", attempt: 0 });
    assert.deepEqual(steps({ is: "wanted" }, { is: "opened" }), { at: "up" });
    assert.deepEqual(steps({ is: "wanted" }, { is: "opened" }, lost), { at: "waiting", attempt: 1, until: 1400 });
    assert.deepEqual(steps({ is: "wanted" }, lost, { is: "due" }, lost), { at: "waiting", attempt: 2, until: 1400 });
    assert.deepEqual(steps({ is: "wanted" }, lost, { is: "due" }, { is: "opened" }), { at: "up" });
  });

  test("a refusal is final until it is wanted again", () => {
    const refused = steps({ is: "wanted" }, { is: "refused", status: 403 });
    assert.deepEqual(refused, { at: "refused", status: 403 });
    assert.equal(advance(refused, { is: "due" }), refused);
    assert.deepEqual(advance(refused, { is: "wanted" }), { at: "connecting", attempt: 0 });
  });

  test("what is not wanted stays off", () => {
    for (const event of [{ is: "opened" }, lost, { is: "due" }, { is: "refused", status: 404 }] as LineEvent[]) {
      assert.deepEqual(advance(off, event), off);
    }
    assert.deepEqual(steps({ is: "wanted" }, { is: "opened" }, { is: "unwanted" }), off);
  });

  test("the word for it", () => {
    const up: Line = { at: "up" };
    const waiting = (attempt: number): Line => ({ at: "waiting", attempt, until: 0 });
    const word = (feed: Line, sound: Line, ended = false) => phaseOf({ feed, sound, ended });
    assert.equal(word({ at: "connecting", attempt: 0 }, off), "preview");
    assert.equal(word(up, { at: "connecting", attempt: 0 }), "connecting");
    assert.equal(word(up, up), "live");
    assert.equal(word(waiting(1), up), "live", "one hiccup of the feed is nobody's business");
    assert.equal(word(waiting(2), up), "reconnecting");
    assert.equal(word(up, waiting(1)), "reconnecting");
    assert.equal(word(up, { at: "connecting", attempt: 1 }), "reconnecting");
    assert.equal(word(waiting(3), waiting(3), true), "ended");
  });
});

describe("route", () => {
  const learned = () => {
    const route = new Route("http://a");
    route.learn(["http://a", "http://b/", "http://c/x", "http://b", "javascript:alert(1)", "not a url"]);
    return route;
  };

  test("learns origins once each, and only of the web", () => {
    const route = learned();
    assert.equal(route.base, "http://a");
    assert.deepEqual(route.others, ["http://b", "http://c"]);
  });

  test("moves on after two failures in a row, and round", () => {
    const route = learned();
    assert.equal(route.failed("http://a"), false);
    route.succeeded("http://a");
    assert.equal(route.failed("http://a"), false);
    assert.equal(route.failed("http://a"), true);
    assert.equal(route.base, "http://b");
    assert.equal(route.failed("http://a"), false, "late news");
    route.failed("http://b");
    route.failed("http://b");
    route.failed("http://c");
    route.failed("http://c");
    assert.equal(route.base, "http://a");
  });

  test("stays where it moved when it learns again", () => {
    const route = learned();
    route.failed("http://a");
    route.failed("http://a");
    route.learn(["http://a", "http://b", "http://d"]);
    assert.equal(route.base, "http://b");
    assert.deepEqual(route.others, ["http://a", "http://d"]);
  });

  test("moves where it is sent, once, and keeps the way back", () => {
    const route = learned();
    assert.equal(route.move(["http://c/", "javascript:alert(1)", "http://d"]), true);
    assert.equal(route.base, "http://c");
    assert.deepEqual(route.others, ["http://d", "http://a"]);
    assert.equal(route.move(["http://d", "http://c"]), false, "there already");
    assert.equal(route.move([]), false);
    assert.equal(route.base, "http://c");
    assert.equal(route.failed("http://c", true), true, "a node that is sure is left at once");
    assert.equal(route.base, "http://d");
  });

  test("alone it stays", () => {
    const route = new Route("http://a");
    for (let i = 0; i < 5; i++) assert.equal(route.failed("http://a"), false);
    assert.equal(route.base, "http://a");
  });
});

describe("who speaks", () => {
  test("a source is lit while its timestamp moves, and held over the gap between two words", () => {
    const speaking = new Speaking();
    speaking.observe(0, [{ source: 7, timestamp: 100 }]);
    assert.deepEqual(speaking.active(0), [7]);
    speaking.observe(200, [{ source: 7, timestamp: 300 }, { source: 3, timestamp: 250 }]);
    assert.deepEqual(speaking.active(200), [3, 7]);
    // 3 goes on; 7 is silent, though the browser still reports it
    speaking.observe(200 + holdMs, [{ source: 7, timestamp: 300 }, { source: 3, timestamp: 700 }]);
    assert.deepEqual(speaking.active(200 + holdMs), [3, 7]);
    speaking.observe(201 + holdMs, [{ source: 7, timestamp: 300 }, { source: 3, timestamp: 720 }]);
    assert.deepEqual(speaking.active(201 + holdMs), [3]);
  });

  test("the same source on two tracks is one person", () => {
    const speaking = new Speaking();
    speaking.observe(0, [{ source: 7, timestamp: 100 }, { source: 7, timestamp: 90 }]);
    assert.deepEqual(speaking.active(0), [7]);
  });
});

test("the meter goes from silence to full", () => {
  assert.equal(meter(new Float32Array(128)), 0);
  assert.equal(meter(new Float32Array(128).fill(1)), 1);
  const quiet = meter(new Float32Array(128).fill(0.01)); // −40 dBFS
  assert.ok(quiet > 0.35 && quiet < 0.39, `${quiet}`);
});

test("talking while muted is noticed after a while, and forgotten at once", () => {
  const hint = new TalkingWhileMuted();
  assert.equal(hint.observe(0, 0.8, true), false);
  assert.equal(hint.observe(1000, 0.8, true), true);
  assert.equal(hint.observe(1100, 0.8, false), false);
  assert.equal(hint.observe(1200, 0.8, true), false);
  assert.equal(hint.observe(2500, 0.1, true), false);
});

describe("links", () => {
  test("rooms, tokens, raw", () => {
    assert.deepEqual(placeOf("http://n/"), { room: null, token: null, speak: false, key: "", raw: false, signIn: null });
    assert.deepEqual(placeOf("http://n/r/k3_-9?raw&speak"), { room: "k3_-9", token: null, speak: true, key: "", raw: true, signIn: null });
    assert.deepEqual(placeOf("http://n/r/k3?token=a.b.c&raw=0"), { room: "k3", token: "a.b.c", speak: false, key: "", raw: false, signIn: null });
    assert.deepEqual(placeOf("http://n/r/k3#token=a.b.c"), { room: "k3", token: "a.b.c", speak: false, key: "", raw: false, signIn: null });
    assert.equal(placeOf("http://n/r/a/b").room, null);
    const link = speakersLinkOf("http://n", "k3", newKey(new Uint8Array(18).fill(251)));
    assert.equal(link, "http://n/r/k3#speak=-_v7-_v7-_v7-_v7-_v7-_v7");
    assert.deepEqual(placeOf(link), { room: "k3", token: null, speak: false, key: "-_v7-_v7-_v7-_v7-_v7-_v7", raw: false, signIn: null });
    assert.equal(withoutKey(`${link}&token=a.b.c`), "http://n/r/k3#token=a.b.c");
    for (const bad of ["short", "<script>alert(document.cookie)</script>", "x".repeat(65)]) assert.equal(placeOf(`http://n/r/k3#speak=${bad}`).key, "");
    assert.equal(placeOf("http://n/r/%3Cscript%3E").room, null);
  });

  test("the way to the operator's accounts and back", () => {
    assert.equal(placeOf("http://n/r/k3?speak#signed-in").signIn, "done");
    assert.equal(placeOf("http://n/#sign-in-cancelled").signIn, "cancelled");
    assert.equal(placeOf("http://n/#sign-in-refused").signIn, "refused");
    assert.equal(placeOf("http://n/#toString").signIn, null);
    assert.equal(withoutSignIn("http://n/r/k3?speak#signed-in", ""), "http://n/r/k3?speak");
    const key = "AAAAAAAAAAAAAAAAAAAAAAAA";
    assert.equal(withoutSignIn("http://n/r/k3#sign-in-cancelled", key), speakersLinkOf("http://n", "k3", key));
    assert.equal(placeOf(withoutSignIn("http://n/r/k3#signed-in", key)).key, key);
    assert.equal(signInOf("http://n/r/k3?speak&raw=0#x"), "/v1/sign-in?return=%2Fr%2Fk3%3Fspeak%26raw%3D0");
  });

  test("a token leaves the address bar", () => {
    assert.equal(withoutToken("http://n/r/k3?token=a.b.c&raw=1#token=x"), "http://n/r/k3?raw=1");
    assert.equal(linkOf("http://n", "k3"), "http://n/r/k3");
  });
});

describe("people", () => {
  test("initials in any script", () => {
    for (const [name, want] of [["Ada Lovelace", "AL"], ["bob", "B"], ["  ", "?"], ["李小龙", "李"], ["👩‍🚀 Mae", "👩‍🚀M"], ["a b c", "AC"]]) {
      assert.equal(initials(name!), want);
    }
  });

  test("tints stay in range and differ", () => {
    const seen = new Set(Array.from({ length: 200 }, (_, i) => tint(`g_${i}`)));
    assert.equal(seen.size, tints);
    assert.equal(tint("g_ada"), tint("g_ada"));
  });
});

test("a store tells of changes only", () => {
  const store = new Store({ a: 1, b: 2 });
  let told = 0;
  const stop = store.subscribe(() => told++);
  store.set({ a: 1 });
  store.set({ a: 2, b: 2 });
  stop();
  store.set({ b: 3 });
  assert.equal(told, 1);
  assert.deepEqual(store.value, { a: 2, b: 3 });
});
