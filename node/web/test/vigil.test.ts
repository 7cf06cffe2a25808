import assert from "node:assert/strict";
import { describe, test } from "node:test";
import stories from "../../vigil/testdata/stories.json";
import { backoff } from "../src/core/backoff.ts";
import { order, receivedOf, Watch } from "../src/core/vigil.ts";

/** times lists the instants of ranges (from, to, step), in order. */
const times = (ranges: number[][]) =>
  ranges
    .flatMap(([from = 0, to = 0, step = 1]) => Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, i) => from + i * step))
    .sort((a, b) => a - b);

describe("a watch over a node, as Go's has it:", () => {
  for (const story of stories.watch) {
    test(story.name, () => {
      const watch = new Watch(story.random);
      const packets = times(story.packets);
      const said: [number, string][] = [];
      for (const at of times(story.looks)) {
        let came = false;
        while (packets.length > 0 && packets[0]! <= at) {
          packets.shift();
          came = true;
        }
        const verdict = watch.look(at, came);
        if (verdict !== "") said.push([at, verdict]);
      }
      assert.deepEqual(said, story.says);
    });
  }
});

describe("whom to ask, as Go's has it:", () => {
  for (const story of stories.order) {
    test(story.name, () => {
      const nodes = story.nodes.map((node) => {
        const [base = "", region = ""] = node.split("/");
        return { base, region };
      });
      const left = [...story.randoms];
      assert.deepEqual(order(nodes, story.base, () => left.shift()!), story.bases);
      assert.deepEqual(left, []);
    });
  }
});

test("how long to wait between tries, as Go's has it", () => {
  for (const { n, random, ms } of stories.wait) assert.equal(backoff(n, random), ms);
});

test("what has come is counted wherever a browser counts it", () => {
  const report = (entries: object[]) => entries.map((entry, i): [string, object] => [String(i), entry]);
  assert.equal(receivedOf(report([{ type: "transport", bytesReceived: 7 }, { type: "inbound-rtp", bytesReceived: 100 }])), 7);
  assert.equal(receivedOf(report([{ type: "candidate-pair", bytesReceived: 3 }, { type: "candidate-pair", bytesReceived: 4 }, { type: "transport" }])), 7);
  assert.equal(receivedOf([]), 0);
});
