import assert from "node:assert/strict";
import { beforeEach, describe, mock, test } from "node:test";
import { Api } from "../src/core/api.ts";
import type { Line } from "../src/core/line.ts";
import { newsOf } from "../src/core/news.ts";
import { Problem } from "../src/core/problem.ts";
import { Route } from "../src/core/route.ts";
import type { Change, View } from "../src/core/view.ts";
import { asView, expectedWait, named } from "../src/core/view.ts";
import { feed } from "../src/room/feed.ts";
import { Keeper } from "../src/room/keeper.ts";
import { keptOf, nodeFor } from "../src/room/kept.ts";

/** One attempt of a Keeper, held by the test. */
interface Held {
  opened: () => void;
  signal: AbortSignal;
  base: string;
  lose: (error?: unknown) => void;
}

/** settled lets everything that was promised happen. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("keeper", () => {
  let held: Held[];
  let lines: string[];
  let route: Route;
  let keeper: Keeper;
  const make = (beside: number) =>
    new Keeper({
      route,
      beside,
      changed: (line: Line) => lines.push(line.at),
      attempt: (opened, signal, base) =>
        new Promise((resolve, reject) => {
          held.push({ opened, signal, base, lose: (error) => (error === undefined ? resolve() : reject(error as Error)) });
          signal.addEventListener("abort", () => resolve());
        }),
    });

  beforeEach(() => {
    mock.timers.reset();
    mock.timers.enable({ apis: ["setTimeout"] });
    held = [];
    lines = [];
    route = new Route("http://a");
    keeper = make(0);
  });

  test("comes back after a loss, and waits longer each time", async () => {
    keeper.start();
    held[0]!.opened();
    held[0]!.lose();
    await settled();
    assert.deepEqual(lines, ["connecting", "up", "waiting"]);
    mock.timers.tick(400);
    assert.equal(held.length, 2);
    held[1]!.lose(new TypeError("nobody there"));
    await settled();
    mock.timers.tick(199);
    assert.equal(held.length, 2, "too early");
    mock.timers.tick(601);
    assert.equal(held.length, 3);
    held[2]!.opened();
    assert.equal(keeper.line.at, "up");
  });

  test("one that is replaced soon after it came up does not end its successor", async () => {
    keeper = make(4000);
    keeper.start();
    held[0]!.opened();
    mock.timers.tick(3990);
    keeper.replace();
    mock.timers.tick(100);
    assert.equal(held[1]!.signal.aborted, false);
    held[1]!.opened();
    mock.timers.tick(3990);
    assert.equal(held[0]!.signal.aborted, false, "both go for a while");
    keeper.replace(); // and once more
    mock.timers.tick(20);
    assert.equal(held[0]!.signal.aborted, true);
    assert.equal(held[2]!.signal.aborted, false);
    held[2]!.opened();
    mock.timers.tick(4000);
    await settled();
    assert.deepEqual(held.map((each) => each.signal.aborted), [true, true, false]);
    assert.equal(keeper.line.at, "up");
    held[2]!.lose();
    await settled();
    assert.equal(keeper.line.at, "waiting", "its loss counts");
  });

  test("an older successor that comes up late leaves the newer one alone", async () => {
    keeper.start();
    held[0]!.opened();
    keeper.replace();
    keeper.replace();
    held[1]!.opened();
    assert.deepEqual(held.map((each) => each.signal.aborted), [true, false, false]);
    held[2]!.opened();
    assert.deepEqual(held.map((each) => each.signal.aborted), [true, true, false]);
  });

  test("a refusal ends it until it is wanted again", async () => {
    keeper.start();
    held[0]!.lose(new Problem(403, "not here"));
    await settled();
    assert.deepEqual(keeper.line, { at: "refused", status: 403 });
    mock.timers.tick(60_000);
    assert.equal(held.length, 1);
    keeper.start();
    assert.equal(held.length, 2);
  });

  test("replacing keeps the old connection until the new one is of use", async () => {
    keeper.start();
    held[0]!.opened();
    keeper.replace();
    assert.equal(held.length, 2);
    assert.equal(held[0]!.signal.aborted, false);
    held[1]!.opened();
    assert.equal(held[0]!.signal.aborted, true);
    await settled();
    assert.deepEqual(lines, ["connecting", "up"], "nobody is told of a change that nobody hears");
  });

  test("a voice goes both ways until the old one is let go, or time is up", async () => {
    keeper = make(4_000);
    keeper.start();
    held[0]!.opened();
    keeper.replace();
    held[1]!.opened();
    assert.equal(held[0]!.signal.aborted, false);
    held[0]!.lose(); // its node has let go of it
    await settled();
    assert.equal(keeper.line.at, "up");
    keeper.replace();
    held[2]!.opened();
    mock.timers.tick(3_999);
    assert.equal(held[1]!.signal.aborted, false);
    mock.timers.tick(1);
    assert.equal(held[1]!.signal.aborted, true);
    assert.equal(held[2]!.signal.aborted, false);
    assert.deepEqual(lines, ["connecting", "up"]);
  });

  test("and stays where it was if the new one is not taken", async () => {
    keeper = make(4_000);
    keeper.start();
    held[0]!.opened();
    keeper.replace();
    held[1]!.opened();
    held[1]!.lose();
    await settled();
    assert.equal(keeper.line.at, "up");
    mock.timers.tick(400);
    assert.equal(held.length, 3, "it is tried again");
    mock.timers.tick(4_000);
    assert.equal(held[0]!.signal.aborted, false);
    held[2]!.opened();
    mock.timers.tick(4_000);
    assert.equal(held[0]!.signal.aborted, true);
  });

  test("a replacement that fails leaves the connection as it is, and is tried again", async () => {
    keeper.start();
    held[0]!.opened();
    keeper.replace();
    held[1]!.lose(new TypeError("nobody there"));
    await settled();
    assert.equal(keeper.line.at, "up");
    assert.equal(held[0]!.signal.aborted, false);
    mock.timers.tick(400);
    assert.equal(held.length, 3);
    held[2]!.opened();
    assert.equal(held[0]!.signal.aborted, true);
    assert.deepEqual(lines, ["connecting", "up"]);
  });

  test("lost while its replacement is waited for, a connection is lost", async () => {
    keeper.start();
    held[0]!.opened();
    keeper.replace();
    held[1]!.lose(new TypeError("nobody there"));
    await settled();
    held[0]!.lose();
    await settled();
    assert.equal(keeper.line.at, "waiting");
    mock.timers.tick(400);
    assert.equal(held.length, 3, "one timer, not two");
    mock.timers.tick(60_000);
    assert.equal(held.length, 3);
  });

  test("a replacement that is refused for good ends it", async () => {
    keeper.start();
    held[0]!.opened();
    keeper.replace();
    held[1]!.lose(new Problem(403, "not you"));
    await settled();
    assert.deepEqual(keeper.line, { at: "refused", status: 403 });
    assert.equal(held[0]!.signal.aborted, true);
  });

  test("a node that sends people on is left at once", async () => {
    route.learn(["http://b"]);
    keeper.start();
    held[0]!.lose(new Problem(503, "the node is being emptied", "elsewhere"));
    await settled();
    assert.equal(route.base, "http://b");
    mock.timers.tick(0);
    assert.equal(held.length, 2);
  });

  test("a node that names others is left for the first of them", async () => {
    route.learn(["http://b"]);
    keeper.start();
    held[0]!.lose(new Problem(503, "kept in other regions", "elsewhere", ["http://c", "http://d"]));
    await settled();
    assert.equal(route.base, "http://c");
    mock.timers.tick(0);
    assert.equal(held.length, 2);
    assert.deepEqual(route.others[0], "http://d");
  });

  test("the old connection's end is no loss while its successor is under way", async () => {
    keeper.start();
    held[0]!.opened();
    keeper.replace();
    held[0]!.lose();
    await settled();
    assert.equal(keeper.line.at, "up");
    held[1]!.opened();
    assert.equal(held.length, 2);
  });

  test("a node that fails twice is left for the next at once", async () => {
    route.learn(["http://b"]);
    keeper.start();
    held[0]!.lose();
    await settled();
    mock.timers.tick(400);
    held[1]!.lose();
    await settled();
    assert.equal(route.base, "http://b");
    mock.timers.tick(0);
    assert.equal(held.length, 3);
  });

  test("an escape takes the place of what is open when it is up, wherever it leads", async () => {
    keeper.start();
    held[0]!.opened();
    const escaping = keeper.escape("http://b", new AbortController().signal);
    assert.deepEqual([held[1]!.base, held[0]!.signal.aborted], ["http://b", false]);
    held[1]!.opened();
    assert.equal(await escaping, true);
    assert.equal(held[0]!.signal.aborted, true);
    held[1]!.lose();
    await settled();
    assert.deepEqual(lines, ["connecting", "up", "waiting"], "from then on it is the connection");
  });

  test("an escape that fails, or is called off, leaves all as it was", async () => {
    keeper.start();
    held[0]!.opened();
    const failing = keeper.escape("http://b", new AbortController().signal);
    held[1]!.lose(new TypeError("nobody there"));
    assert.equal(await failing, false);
    const off = new AbortController();
    const called = keeper.escape("http://b", off.signal);
    off.abort();
    assert.equal(await called, false);
    assert.equal(held[2]!.signal.aborted, true);
    const refused = keeper.escape("http://b", new AbortController().signal);
    held[3]!.lose(new Problem(503, "full", "", [], [], 2_000));
    await assert.rejects(refused, Problem);
    mock.timers.tick(60_000);
    assert.deepEqual([held.length, keeper.line.at, held[0]!.signal.aborted], [4, "up", false]);
  });

  test("an escape does not wait where the line does, and is not of use to a line that is not wanted", async () => {
    keeper.start();
    held[0]!.opened();
    held[0]!.lose();
    await settled();
    const escaping = keeper.escape("http://b", new AbortController().signal);
    held[1]!.opened();
    assert.equal(await escaping, true);
    assert.equal(keeper.line.at, "up");
    mock.timers.tick(60_000);
    assert.equal(held.length, 2, "the try that was to come is not needed");
    keeper.stop();
    assert.equal(held[1]!.signal.aborted, true);
    assert.equal(await keeper.escape("http://b", new AbortController().signal), false);
  });

  test("a connection that is lost during an escape is lost, and so is the escape", async () => {
    keeper.start();
    held[0]!.opened();
    const escaping = keeper.escape("http://b", new AbortController().signal);
    held[0]!.lose();
    await settled();
    assert.equal(await escaping, false);
    assert.equal(keeper.line.at, "waiting");
  });

  test("a node that asks for time is given it", async () => {
    keeper.start();
    held[0]!.lose(new Problem(503, "full", "", [], [], 2_000));
    await settled();
    mock.timers.tick(1_999);
    assert.equal(held.length, 1);
    mock.timers.tick(668); // a third at most, so that not all come at once
    assert.equal(held.length, 2);
  });

  test("stopping ends what is under way and what waits", async () => {
    keeper.start();
    keeper.stop();
    assert.equal(held[0]!.signal.aborted, true);
    held[0]!.opened();
    await settled();
    mock.timers.tick(60_000);
    assert.deepEqual([keeper.line.at, held.length], ["off", 1]);
  });
});

test("where a room is kept is said while it is looked for, and that nobody answers there until somebody does", () => {
  const waiting: Line = { at: "waiting", attempt: 1, until: 0 };
  const elsewhere = new Problem(503, "elsewhere", "elsewhere", ["http://b"], ["eu-west"]);
  const away = new Problem(503, "away", "regions-away", [], ["eu-west"]);
  assert.equal(keptOf(null, waiting, new TypeError("nobody there")), null, "any room");
  const going = keptOf(null, waiting, elsewhere);
  assert.deepEqual(going, { regions: ["eu-west"], away: false });
  assert.deepEqual(keptOf(going, { at: "connecting", attempt: 1 }, undefined), going);
  const nobody = keptOf(going, waiting, new TypeError("nobody there"));
  assert.deepEqual(nobody, { regions: ["eu-west"], away: true });
  assert.deepEqual(keptOf(nobody, waiting, elsewhere), nobody, "the node outside does not know it yet");
  assert.deepEqual(keptOf(null, waiting, away), nobody);
  assert.equal(keptOf(nobody, { at: "up" }, undefined), null);
});

test("a room is made at a node inside its regions", () => {
  const regions = { own: "us-east", regions: [{ region: "ap-south", nodes: 1, url: "http://a" }, { region: "eu-west", nodes: 2, url: "http://e" }, { region: "us-east", nodes: 1, url: "http://u" }] };
  assert.equal(nodeFor(regions, ["eu-west", "us-east"]), "");
  assert.equal(nodeFor(regions, ["eu-west"]), "http://e");
});

describe("feed", () => {
  const snapshot = (seq: number, title: string) => `event: snapshot\nid: ${seq}\ndata: ${JSON.stringify({ id: "k3", seq, state: "live", title, host: "ada" })}\n\n`;
  const change = (seq: number, patch: object) => `event: edited\nid: ${seq}\ndata: ${JSON.stringify({ seq, type: "edited", patch })}\n\n`;

  /** run follows one connection that says `body` and ends. */
  async function run(bodies: string[]): Promise<{ titles: string[]; asked: Array<string | undefined>; errors: number }> {
    const titles: string[] = [];
    const asked: Array<string | undefined> = [];
    let errors = 0;
    let next = 0;
    const fetch = async (_url: string, init: RequestInit = {}) => {
      asked.push((init.headers as Record<string, string>)["Last-Event-ID"]);
      return new Response(bodies[next++]);
    };
    const attempt = feed({ api: new Api({ base: () => "http://a", token: () => undefined, fetch }), room: "k3", show: (view) => titles.push(view.title), move: (bases) => titles.push(bases.join(" ")) });
    for (const _ of bodies) await attempt(() => {}, new AbortController().signal, "http://a").catch(() => errors++);
    return { titles, asked, errors };
  }

  test("a snapshot, then changes, and on from the last one after a loss", async () => {
    const got = await run([snapshot(7, "a") + ": keepalive\n\n" + change(8, { title: "b" }), change(9, { title: "c" })]);
    assert.deepEqual(got, { titles: ["a", "b", "c"], asked: [undefined, "8"], errors: 0 });
  });

  test("a missing change starts over with a snapshot", async () => {
    const got = await run([snapshot(7, "a") + change(9, { title: "c" }), snapshot(9, "c")]);
    assert.deepEqual(got, { titles: ["a", "c"], asked: [undefined, undefined], errors: 1 });
  });

  test("a node that is emptied says where to go, and the place in the log stays", async () => {
    const move = `event: move\ndata: ${JSON.stringify({ edges: [{ node: "b", url: "http://b" }, { node: "c", url: "http://c" }] })}\n\n`;
    const got = await run([move + snapshot(7, "a") + move, change(8, { title: "b" })]);
    assert.deepEqual(got, { titles: ["http://b http://c", "a", "http://b http://c", "b"], asked: [undefined, "7"], errors: 0 });
  });

  test("what was seen already changes nothing", async () => {
    const got = await run([snapshot(7, "a") + change(7, { title: "old" }) + change(8, { title: "b" })]);
    assert.deepEqual(got.titles, ["a", "b"]);
  });

  test("what was done without the log comes with its reason", async () => {
    const why = `event: reason\ndata: ${JSON.stringify({ type: "muted", user: "bob", by: "ada", reason: "Shouting." })}\n\n`;
    const shown: Array<string | undefined> = [];
    const fetch = async () => new Response(snapshot(7, "a") + why + snapshot(7, "a") + snapshot(7, "a"));
    await feed({ api: new Api({ base: () => "http://a", token: () => undefined, fetch }), room: "k3", show: (_, change) => shown.push(change?.reason), move: () => {} })(() => {}, new AbortController().signal, "http://a");
    assert.deepEqual(shown, [undefined, "Shouting.", undefined]);
  });

  test("a line that is not JSON is a lost connection, not a broken page", async () => {
    assert.equal((await run(["event: snapshot\nid: 1\ndata: {\n\n"])).errors, 1);
  });
});

describe("news", () => {
  const person = (role: "host" | "speaker", muted = true) => ({ name: role, role, muted, ssrc: 1, live: false });
  const view = (more: Partial<View>): View => asView({ id: "k3", seq: 1, state: "live", title: "t", host: "ada", participants: { ada: person("host") }, ...more });
  const by = (user: string): Change => ({ seq: 2, type: "x", by: user });
  const told = (before: View, after: View, who: string, change: Change | null = null) => newsOf(before, after, change, who).map((news) => news.is);
  const asked = { bob: { name: "Bob", at: "", order: 1 } };
  const bobOn = { participants: { ada: person("host"), bob: person("speaker", false) } };

  test("a raised hand is the hosts' news", () => {
    assert.deepEqual(told(view({}), view({ requests: asked }), "ada"), ["raised"]);
    assert.deepEqual(told(view({}), view({ requests: asked }), "cyd"), []);
  });

  test("let in, declined, withdrawn", () => {
    assert.deepEqual(told(view({ requests: asked }), view(bobOn), "bob"), ["you-on-stage"]);
    assert.deepEqual(told(view({ requests: asked }), view({}), "bob", by("ada")), ["you-denied"]);
    assert.deepEqual(told(view({ requests: asked }), view({}), "bob", by("bob")), []);
  });

  test("muted by somebody else", () => {
    const muted = view({ participants: { ada: person("host"), bob: person("speaker", true) } });
    assert.deepEqual(told(view(bobOn), muted, "bob", by("ada")), ["you-muted"]);
    assert.deepEqual(told(view(bobOn), muted, "bob", by("bob")), []);
    assert.deepEqual(told(view(bobOn), muted, "cyd", by("ada")), []);
  });

  test("why it was done is read by whom it was done to", () => {
    const change = (type: string): Change => ({ seq: 2, type, by: "ada", user: "bob", reason: "<b>Hush</b>" });
    const muted = view({ participants: { ada: person("host"), bob: person("speaker", true) } });
    assert.deepEqual(newsOf(view({ requests: asked }), view({}), change("denied"), "bob"), [{ is: "you-denied", reason: "<b>Hush</b>" }]);
    assert.deepEqual(newsOf(view(bobOn), muted, change("muted"), "bob"), [{ is: "you-muted", reason: "<b>Hush</b>" }]);
    assert.deepEqual(newsOf(view(bobOn), muted, change("muted_all"), "bob"), [{ is: "you-muted", reason: "" }]);
  });

  test("others come and go; the end is the only news of an end", () => {
    assert.deepEqual(told(view({}), view(bobOn), "cyd"), ["on-stage"]);
    assert.deepEqual(told(view(bobOn), view({}), "cyd"), ["off-stage"]);
    assert.deepEqual(told(view(bobOn), view({}), "bob"), ["you-off-stage"]);
    assert.deepEqual(told(view(bobOn), view({ state: "ended", participants: {} }), "bob"), ["ended"]);
  });
});

// The numbers are those of control/room/testdata/waiting.txt and waiting_turns.txt.
test("people are shown by the names that they have now", () => {
  const one = (name: string) => ({ name, role: "speaker" as const, muted: true, ssrc: 1, live: false });
  const view = asView({ id: "k3", seq: 1, state: "live", title: "t", host: "ada", participants: { ada: one("Ada"), constructor: one("Eve") }, requests: { bob: { name: "Bob", at: "", order: 1 } } });
  const now = named(view, { ada: "Ada L.", bob: "Robert", cyd: "nobody here" });
  assert.deepEqual([now.participants["ada"]?.name, now.participants["constructor"]?.name, now.requests["bob"]?.name], ["Ada L.", "Eve", "Robert"]);
  assert.equal(view.participants["ada"]?.name, "Ada"); // the next change is told against it
  assert.equal(named(view, {}), view);
});

describe("expected wait", () => {
  const now = Date.parse("2026-11-23T20:01:00Z");
  const ago = (seconds: number) => new Date(now - seconds * 1000).toISOString();
  const wait = (queue: View["queue"], place: number) => expectedWait(asView({ id: "k3", seq: 1, ...(queue && { queue }) }), place, now);

  test("is not known before there was an answer", () => {
    assert.equal(wait(undefined, 1), undefined);
    assert.equal(wait({ waiting: 2, eachSeconds: null, since: ago(9) }, 2), undefined);
    assert.equal(wait({ waiting: 2, since: ago(9) }, 2), undefined, "a patch has taken the null away");
  });
  test("is what answers took of late, or what the first in line has waited", () => {
    assert.equal(wait({ waiting: 2, eachSeconds: 30, since: ago(3) }, 2), 60);
    assert.equal(wait({ waiting: 1, eachSeconds: 30, since: ago(45) }, 1), 45);
    assert.equal(wait({ waiting: 0, eachSeconds: 40, since: null, nextAt: null }, 1), 40);
    assert.equal(wait({ waiting: 1, eachSeconds: 30, since: ago(9 * 3600) }, 1), 4 * 3600);
  });
  test("is what is left of this turn and the turns before", () => {
    assert.equal(wait({ waiting: 2, eachSeconds: 60, since: ago(20), nextAt: ago(-39) }, 3), 159);
    assert.equal(wait({ waiting: 2, eachSeconds: 60, since: ago(20), nextAt: ago(1) }, 1), 0, "the turn is about to end");
  });
});
