import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { appendFileSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, describe, test } from "node:test";

// The sources as they are, built by the real build.mjs, with something too large put into them.
describe("the size of the first load", () => {
  const here = process.cwd(); // node/web: this runs from a bundle elsewhere
  const copy = mkdtempSync(path.join(tmpdir(), "rotunda-web-"));
  after(() => rmSync(copy, { recursive: true }));
  for (const part of ["src", "public", "build.mjs"]) cpSync(path.join(here, part), path.join(copy, part), { recursive: true });
  symlinkSync(path.join(here, "node_modules"), path.join(copy, "node_modules"));
  mkdirSync(path.join(copy, "dist"));
  const build = () => spawnSync(process.execPath, ["build.mjs"], { cwd: copy, encoding: "utf8" });
  const noise = (bytes: number) => randomBytes(bytes).toString("hex"); // packed, hexadecimal digits have about that many bytes

  test("fits", () => {
    const { status, stdout, stderr } = build();
    assert.equal(status, 0, stderr);
    assert.match(stdout, /first load [0-9.]+ kB compressed/);
  });

  for (const { what, file, more } of [
    { what: "script", file: "src/main.tsx", more: `;(globalThis as { noise?: string }).noise = "${noise(60_000)}";\n` },
    { what: "style", file: "src/style/main.css", more: `:root { --noise: "${noise(60_000)}"; }\n` },
  ]) {
    test(`does not fit with 60 kB more of ${what}`, () => {
      const at = path.join(copy, file);
      appendFileSync(at, more);
      const { status, stderr } = build();
      assert.notEqual(status, 0);
      assert.match(stderr, /the first load has 1[0-9]{5} bytes compressed, more than 100000/);
      cpSync(path.join(here, file), at);
    });
  }
});
