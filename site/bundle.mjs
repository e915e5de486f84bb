// Bundles each explorer and each script of a page into one classic script, because a browser loads
// no module from a file.
// node bundle.mjs OUT
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import katex from "katex";

const here = dirname(fileURLToPath(import.meta.url));
const LIMIT = 60_000;

const formulas = {
  name: "formulas",
  setup(context) {
    context.onLoad({ filter: /\.tex$/ }, ({ path }) => {
      const trust = ({ command }) => command === "\\htmlData";
      const html = katex.renderToString(readFileSync(path, "utf8"), {
        displayMode: true,
        output: "html",
        strict: false,
        trust,
      });
      return { contents: html, loader: "text" };
    });
  },
};

// A term names a function and a public test of an assignment. Both must exist, and the line of the
// function's TODO in the starter is looked up.
const terms = {
  name: "terms",
  setup(context) {
    context.onLoad({ filter: /terms\.json$/ }, ({ path }) => {
      const all = JSON.parse(readFileSync(path, "utf8"));
      for (const term of Object.values(all)) locate(term);
      return { contents: JSON.stringify(all), loader: "json" };
    });
  },
};

function locate(term) {
  const { assignment, where, test } = term;
  const lines = readFileSync(
    join(here, "..", "starter", assignment, `${assignment}.py`),
    "utf8",
  ).split("\n");
  const start = lines.findIndex((line) => line.startsWith(`def ${where}(`));
  const todo = lines.findIndex((line, at) => at > start && line.includes("# TODO("));
  const tests = readFileSync(join(here, "..", "starter", assignment, "test_local.py"), "utf8");
  if (start < 0 || todo < 0) throw new Error(`${assignment}.py has no function ${where} to write`);
  if (!tests.includes(`def ${test}(`)) throw new Error(`${assignment} has no public test ${test}`);
  Object.assign(term, { file: `${assignment}.py`, line: todo + 1 });
}

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
  plugins: [formulas, terms],
});
// The limit is for what this repository adds to a page: CodeMirror alone is larger.
for (const [path, { bytes, inputs }] of Object.entries(metafile.outputs)) {
  const taken = Object.entries(inputs).filter(([input]) => input.includes("node_modules/"));
  const own = bytes - taken.reduce((sum, [, { bytesInOutput }]) => sum + bytesInOutput, 0);
  if (own > LIMIT) throw new Error(`${path} has ${own} bytes of its own, more than ${LIMIT}`);
  console.log(`${path}: ${bytes} bytes${own < bytes ? `, ${own} of its own` : ""}`);
}
