// Bundles each explorer and each script of a page into one classic script, because a browser loads
// no module from a file.
// node bundle.mjs OUT
import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const LIMIT = 60_000;

const entries = ["explorers", "scripts"].flatMap((kind) =>
  readdirSync(join(here, kind))
    .map((name) => [`${kind}/${name}`, join(here, kind, name, "index.js")])
    .filter(([, path]) => existsSync(path)),
);
const { metafile } = await build({
  entryPoints: Object.fromEntries(entries),
  outdir: process.argv[2],
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  metafile: true,
  logLevel: "warning",
});
// The limit is for what this repository adds to a page: CodeMirror alone is larger.
for (const [path, { bytes, inputs }] of Object.entries(metafile.outputs)) {
  const taken = Object.entries(inputs).filter(([input]) => input.includes("node_modules/"));
  const own = bytes - taken.reduce((sum, [, { bytesInOutput }]) => sum + bytesInOutput, 0);
  if (own > LIMIT) throw new Error(`${path} has ${own} bytes of its own, more than ${LIMIT}`);
  console.log(`${path}: ${bytes} bytes${own < bytes ? `, ${own} of its own` : ""}`);
}
