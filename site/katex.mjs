// Formulas to HTML: one JSON object {tex, display} a line in, one {html} or {error} a line out.
import { createInterface } from "node:readline";
import katex from "katex";

const trust = ({ command }) => ["\\htmlData", "\\htmlClass"].includes(command);
const options = {
  throwOnError: true,
  strict: (code) => (code === "htmlExtension" ? "ignore" : "error"),
  trust,
};

function answer({ tex, display }) {
  try {
    return { html: katex.renderToString(tex, { ...options, displayMode: display }) };
  } catch (error) {
    return { error: error.message };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(answer(JSON.parse(line))) + "\n");
}
