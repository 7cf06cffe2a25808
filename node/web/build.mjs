// Builds the client into dist/, which the Go package embeds: one script and one style sheet named by their content, the
// page that loads them, and what lies in public/. The same sources give the same bytes.
import { build } from "esbuild";
import { cp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import path from "node:path";

const here = import.meta.dirname;
const dist = path.join(here, "dist");

/** What a phone on a slow network fetches before anything is shown, at most: script and style, compressed. */
const packedMax = 100_000;

for (const name of await readdir(dist)) {
  if (name !== ".gitkeep") await rm(path.join(dist, name), { recursive: true });
}

const { metafile } = await build({
  entryPoints: [path.join(here, "src/main.tsx"), path.join(here, "src/style/main.css")],
  absWorkingDir: here,
  outdir: path.join(dist, "assets"),
  entryNames: "app-[hash]",
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022", "chrome105", "firefox110", "safari16"],
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none",
  metafile: true,
  logLevel: "warning",
});

const outputs = Object.keys(metafile.outputs).map((file) => path.relative(dist, path.join(here, file)).replaceAll("\\", "/"));
const only = (extension) => {
  const found = outputs.filter((file) => file.endsWith(extension));
  if (found.length !== 1) throw new Error(`built ${found.length} ${extension} files, want 1`);
  return `/${found[0]}`;
};

const page = await readFile(path.join(here, "src/index.html"), "utf8");
await writeFile(path.join(dist, "index.html"), page.replace("%SCRIPT%", only(".js")).replace("%STYLE%", only(".css")));
await cp(path.join(here, "public"), dist, { recursive: true });
await cp(path.join(here, "node_modules/preact/LICENSE"), path.join(dist, "licence-preact.txt")); // MIT asks for it where copies go

let packed = 0;
for (const file of outputs) packed += gzipSync(await readFile(path.join(dist, file)), { level: 9 }).length;
if (packed > packedMax) throw new Error(`the bundle has ${packed} bytes compressed, more than ${packedMax}`);
console.log(`dist: ${outputs.join(", ")}; ${(packed / 1000).toFixed(1)} kB compressed`);
