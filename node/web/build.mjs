// Builds the client into dist/, which the Go package embeds: one script and one style sheet named by their content, the
// page that loads them, and what lies in public/. The same sources give the same bytes.
import { build } from "esbuild";
import { cp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import path from "node:path";

const here = import.meta.dirname;
const dist = path.join(here, "dist");

/** What a phone on a slow network fetches before anything is shown, at most: script, style and one language, compressed. */
const packedMax = 100_000;

for (const name of await readdir(dist)) {
  if (name !== ".gitkeep") await rm(path.join(dist, name), { recursive: true });
}

const { metafile } = await build({
  entryPoints: [path.join(here, "src/main.tsx"), path.join(here, "src/style/main.css")],
  absWorkingDir: here,
  outdir: path.join(dist, "assets"),
  entryNames: "app-[hash]",
  chunkNames: "[name]-[hash]",
  bundle: true,
  splitting: true, // a language comes when it is wanted
  minify: true,
  format: "esm",
  target: ["es2022", "chrome105", "firefox110", "safari16"],
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none",
  metafile: true,
  logLevel: "warning",
});

const relative = (file) => path.relative(dist, path.join(here, file)).replaceAll("\\", "/");
const outputs = Object.entries(metafile.outputs);
/** The one entry that was made of such a source. */
const entryOf = (source) => {
  const found = outputs.filter(([, { entryPoint }]) => entryPoint === source);
  if (found.length !== 1) throw new Error(`built ${found.length} files of ${source}, want 1`);
  return found[0][0];
};
const script = entryOf("src/main.tsx");
const style = entryOf("src/style/main.css");

const page = await readFile(path.join(here, "src/index.html"), "utf8");
await writeFile(path.join(dist, "index.html"), page.replace("%SCRIPT%", `/${relative(script)}`).replace("%STYLE%", `/${relative(style)}`));
await cp(path.join(here, "public"), dist, { recursive: true });
for (const library of ["preact", "uqr"]) {
  await cp(path.join(here, `node_modules/${library}/LICENSE`), path.join(dist, `licence-${library}.txt`)); // MIT asks for it where copies go
}

/** What loads with a file: itself and what it imports without being asked. */
const withImports = (file, seen = new Set()) => {
  if (seen.has(file)) return seen;
  seen.add(file);
  for (const each of metafile.outputs[file].imports) if (each.kind === "import-statement") withImports(each.path, seen);
  return seen;
};
const packed = async (files) => {
  let sum = 0;
  for (const file of files) sum += gzipSync(await readFile(path.join(here, file)), { level: 9 }).length;
  return sum;
};
const first = new Set([...withImports(script), style]);
const languages = outputs.map(([file]) => file).filter((file) => metafile.outputs[file].entryPoint?.startsWith("src/text/messages/"));
const base = await packed(first);
const language = Math.max(0, ...(await Promise.all(languages.map((file) => packed([file])))));
if (base + language > packedMax) throw new Error(`the first load has ${base + language} bytes compressed, more than ${packedMax}`);
console.log(`dist: first load ${(base / 1000).toFixed(1)} kB compressed, and at most ${(language / 1000).toFixed(1)} kB for one of ${languages.length} more languages`);
