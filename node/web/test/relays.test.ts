import assert from "node:assert/strict";
import { test } from "node:test";
import { relaysOf } from "../src/core/relays.ts";

test("relays are read out of Link headers, and nothing else is", () => {
  const one = { urls: "turns:turn.example.org:443?transport=tcp", username: "1792:ada", credential: "a/+=" };
  const said = `<${one.urls}>; rel="ice-server"; username="1792:ada"; credential="a/+="; credential-type="password"`;
  assert.deepEqual(relaysOf(""), []);
  assert.deepEqual(relaysOf(said), [one]);
  const two = relaysOf(`<https://node/next>; rel="next", ${said}, <turn:192.0.2.1>; REL=ice-server; username=ada;credential="x, <turn:evil>; \\"y\\\\"`);
  assert.deepEqual(two, [one, { urls: "turn:192.0.2.1", username: "ada", credential: 'x, <turn:evil>; "y\\' }]);
  for (const none of [
    `<turn:192.0.2.1>; rel="ice-server"`,
    `<turn:192.0.2.1>; rel="ice-server"; username="ada"`,
    `<turn:192.0.2.1>; rel="next"; username="ada"; credential="x"`,
    `<https://x.example>; rel="ice-server"; username="ada"; credential="x"`,
    `<stun:192.0.2.1>; rel="ice-server"`,
    `turn:192.0.2.1; rel="ice-server"; username="ada"; credential="x"`,
  ]) assert.deepEqual(relaysOf(none), [], none);
});
