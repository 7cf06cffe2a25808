import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Api, claimsOf } from "../src/core/api.ts";
import { Problem, readProblem } from "../src/core/problem.ts";
import type { View } from "../src/core/view.ts";
import { asView, follow, moderates, onStage, outranks, place, queue, roleOf, stage } from "../src/core/view.ts";

interface Asked {
  url: string;
  init: RequestInit;
}

function api(answer: () => Response, token: string | undefined = "t.o.k"): { api: Api; asked: Asked[] } {
  const asked: Asked[] = [];
  const fetch = async (url: string, init: RequestInit = {}) => {
    asked.push({ url, init });
    return answer();
  };
  return { api: new Api({ base: () => "http://node", token: () => token, fetch }), asked };
}

const header = (asked: Asked | undefined, name: string) => (asked?.init.headers as Record<string, string> | undefined)?.[name];

describe("api", () => {
  test("commands carry the token and escape what they are given", async () => {
    const { api: client, asked } = api(() => new Response(null, { status: 204 }));
    const room = client.of("k3");
    await room.mute("g_a/../b");
    await room.unmute("me");
    await room.remove("bob", { ban: true, everywhere: false, reason: "" });
    assert.deepEqual(
      asked.map(({ url, init }) => `${init.method} ${url} ${init.body ?? ""}`),
      [
        "POST http://node/v1/rooms/k3/participants/g_a%2F..%2Fb/mute ",
        "DELETE http://node/v1/rooms/k3/participants/me/mute ",
        'DELETE http://node/v1/rooms/k3/participants/bob {"ban":true,"everywhere":false}',
      ],
    );
    assert.equal(header(asked[0], "Authorization"), "Bearer t.o.k");
  });

  test("looking needs no token", async () => {
    const { api: client, asked } = api(() => Response.json({ rooms: null }), "");
    const anonymous = new Api({ base: () => "http://node", token: () => undefined, fetch: async (url, init = {}) => (asked.push({ url, init }), Response.json({})) });
    assert.deepEqual(await client.rooms("live"), { rooms: [], next: "" });
    assert.deepEqual(await anonymous.rooms("live"), { rooms: [], next: "" });
    assert.equal(header(asked[1], "Authorization"), undefined);
  });

  test("an offer answers the SDP and where the session lives", async () => {
    const { api: client, asked } = api(() => new Response("v=0 answer", { status: 201, headers: { Location: "/v1/rooms/k3/whep/s1" } }));
    const got = await client.offer("http://a", "k3", "whep", "v=0 offer", new AbortController().signal);
    assert.deepEqual(got, { answer: "v=0 answer", session: "http://a/v1/rooms/k3/whep/s1", relays: [] });
    assert.equal(asked[0]?.url, "http://a/v1/rooms/k3/whep"); // which need not be the node of all else
    assert.equal(header(asked[0], "Content-Type"), "application/sdp");
  });

  test("the feed resumes after an id", async () => {
    const { api: client, asked } = api(() => new Response(""));
    await client.events("k3", "17", new AbortController().signal);
    await client.events("k3", "", new AbortController().signal);
    assert.equal(header(asked[0], "Last-Event-ID"), "17");
    assert.equal(header(asked[1], "Last-Event-ID"), undefined);
  });

  test("a refusal is told in the node's words", async () => {
    const body = { type: "urn:rotunda:problem:forbidden", title: "Forbidden", detail: "Only the host may do that." };
    const { api: client } = api(() => Response.json(body, { status: 403 }));
    await assert.rejects(client.of("k3").approve("bob"), (error: Problem) => {
      assert.deepEqual([error.message, error.slug, error.status, error.final], ["Only the host may do that.", "forbidden", 403, true]);
      return true;
    });
  });

  test("a refusal may name nodes to ask instead", async () => {
    const body = { type: "urn:rotunda:problem:elsewhere", edges: [{ url: "http://c" }, null, { url: 7 }, { url: "http://d" }] };
    const problem = await readProblem(Response.json(body, { status: 503 }));
    assert.deepEqual([problem.slug, problem.bases], ["elsewhere", ["http://c", "http://d"]]);
    assert.deepEqual((await readProblem(Response.json({ edges: "x" }, { status: 503 }))).bases, []);
  });

  test("a refusal may say where a room is kept", async () => {
    const told = async (regions: unknown) => (await readProblem(Response.json({ type: "urn:rotunda:problem:regions-away", regions }, { status: 503 }))).regions;
    assert.deepEqual(await told(["eu-west", 7, "", "ap-south"]), ["eu-west", "ap-south"]);
    assert.deepEqual(await told("eu-west"), []);
    assert.deepEqual(await told(undefined), []);
  });

  test("a refusal without sense is still a refusal", async () => {
    for (const body of ["<html>", "null", "[]", '{"detail": 7}', ""]) {
      const problem = await readProblem(new Response(body, { status: 502, statusText: "Bad Gateway" }));
      assert.equal(problem.message, "502 Bad Gateway");
      assert.equal(problem.final, false);
    }
    assert.equal((await readProblem(Response.json({ detail: "x".repeat(5000) }, { status: 400 }))).message.length, 300);
  });
});

test("claims are read, never trusted to be there", () => {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  assert.deepEqual(claimsOf(`${part({})}.${part({ sub: "g_1", name: "Zoë ?>", exp: 9 })}.x`), { user: "g_1", name: "Zoë ?>", expires: 9 });
  for (const bad of ["", "a", "a.b.c", `x.${part(null)}.y`, `x.${part({ sub: 3 })}.y`]) {
    assert.deepEqual(claimsOf(bad), { user: "", name: "", expires: 0 });
  }
});

const view: View = asView({
  id: "k3",
  seq: 4,
  state: "live",
  title: "Evening",
  host: "ada",
  participants: {
    cyd: { name: "Cyd", role: "speaker", muted: true, ssrc: 3, live: false, since: "2026-01-01T10:00:00Z" },
    ada: { name: "Ada", role: "host", muted: false, ssrc: 1, live: true, since: "2026-01-01T11:00:00Z" },
    eve: { name: "Eve", role: "speaker", muted: true, ssrc: 4, live: false, since: "2026-01-01T09:00:00Z" },
  },
  requests: { dan: { name: "Dan", at: "", order: 9 }, bob: { name: "Bob", at: "", order: 10 } },
});

describe("view", () => {
  test("follows one change at a time", () => {
    const next = follow(view, { seq: 5, type: "approved", patch: { seq: 5, requests: { dan: null } } });
    assert.deepEqual(queue(next!).map((request) => request.user), ["bob"]);
    assert.equal(next!.seq, 5);
    assert.equal(follow(view, { seq: 4, type: "muted", patch: { title: "old news" } }), view);
    assert.equal(follow(view, { seq: 6, type: "muted", patch: {} }), null, "a gap asks for a snapshot");
  });

  test("the last request goes and the queue stays a queue", () => {
    const next = follow(view, { seq: 5, type: "closed", patch: { requests: null } });
    assert.deepEqual(queue(next!), []);
  });

  test("stage and queue are in order", () => {
    assert.deepEqual(stage(view).map((person) => person.user), ["ada", "eve", "cyd"]);
    assert.deepEqual(queue(view).map((request) => request.user), ["dan", "bob"]);
    assert.equal(place(view, "bob"), 2);
    assert.equal(place(view, "ada"), 0);
    assert.equal(place(view, undefined), 0);
  });

  test("roles", () => {
    assert.equal(roleOf(view, "ada"), "host");
    assert.equal(roleOf(view, "constructor"), "listener");
    assert.equal(roleOf(view, undefined), "listener");
    assert.ok(moderates("cohost") && !moderates("speaker") && onStage("speaker") && !onStage("listener"));
    assert.ok(outranks("host", "cohost") && !outranks("cohost", "cohost"));
  });
});
