// Write, run, be told: an editor, the public tests in a worker, and what became of them.
import { Code } from "./code.js";
import { Kept } from "./kept.js";
import { Results, title } from "./results.js";

const PATIENCE = 10;
const data = JSON.parse(document.getElementById("write-data").textContent);
const worker = new URL("../python/worker.js", document.currentScript.src);
const root = document.querySelector(".write");
root.innerHTML = `
  <div class="write-left">
    <div class="write-head">
      <span class="write-file"></span>
      <span class="write-kept" role="status"></span>
      <button type="button" data-do="download">Download</button>
      <button type="button" data-do="reset">Reset</button>
    </div>
    <div class="write-code"></div>
    <p id="write-keys">Tab indents; <kbd>Esc</kbd>, then <kbd>Tab</kbd> leaves
      the editor. <kbd>Ctrl</kbd> or <kbd>⌘</kbd> with <kbd>Enter</kbd> runs the tests.</p>
  </div>
  <section class="write-right" aria-label="Public tests">
    <div class="write-run">
      <button type="button" data-do="run">Run the tests</button>
      <button type="button" data-do="stop">Stop</button>
      <p class="write-said" role="status"></p>
      <div class="write-bar" aria-hidden="true"></div>
    </div>
    <div class="write-found"></div>
  </section>`;
const at = (name) => root.querySelector(`.write-${name}`);
const button = (name) => root.querySelector(`[data-do=${name}]`);
// The same words are not said twice.
const say = (words) => {
  if (at("said").textContent !== words) at("said").textContent = words;
};

at("file").textContent = data.file;
const kept = new Kept(data.name, data.starter, (words) => {
  at("kept").textContent = words;
});
const code = new Code(at("code"), kept.text, data.file, change, { "Mod-Enter": run, "Mod-s": keep });
const results = new Results(at("bar"), at("found"), (line) => code.goTo(line));
const why = whyNot();

// Nothing is running: null. Otherwise what the worker does now, since when, and who waits for it.
let python = null;
let running = null;

function whyNot() {
  if (data.wheels.length === 0) {
    return "This copy of the site was built without Python for the browser: write here, download"
      + " the file, and run the tests on your own machine.";
  }
  return location.protocol !== "file:" ? "" : "A page that is opened from a file cannot run Python:"
    + " browsers allow it from a web server alone. You can write here, and download your file.";
}

function run() {
  if (why || running) return;
  const files = { ...data.tests, [data.file]: code.text };
  keep();
  results.clear();
  running = { name: null, since: performance.now() };
  say(python ? "The tests run." : "Python is loading.");
  python ??= begun();
  python.postMessage({ wheels: data.wheels, file: data.file, files });
  showButtons();
  at("run").scrollIntoView({ block: "nearest" });
}

function begun() {
  const started = new Worker(worker, { type: "module" });
  // What a worker has said before it was ended may arrive after it.
  const heard = (told) => started === python && running && hear[told.kind](told);
  started.addEventListener("message", ({ data: told }) => heard(told));
  const missing = { kind: "missing", words: "its files are not there" };
  started.addEventListener("error", () => heard(missing));
  return started;
}

const hear = {
  begins({ name }) {
    say("The tests run.");
    Object.assign(running, { name, first: running.first ?? performance.now() });
    clearTimeout(running.waits);
    running.waits = setTimeout(() => say(slow(name)), 1000 * PATIENCE);
  },
  tests({ names }) {
    results.expect(names);
  },
  test(told) {
    results.show(told);
  },
  refused(told) {
    end(told.words);
    results.refuse(told);
  },
  ends({ todo, printed }) {
    const seconds = (performance.now() - running.first) / 1000;
    end(`${summary()} This took ${seconds.toFixed(1)}\u00a0s.`);
    results.advise(todo);
    results.printed(printed);
  },
  broken({ words }) {
    kill(`Python has stopped ${place()}: ${words}. Run the tests to start it again.`);
  },
  missing({ words }) {
    kill(`Python could not be loaded (${words}). Check the connection and run the tests again.`);
  },
};

const place = () => (running.name ? `in “${title(running.name)}”` : `while ${data.file} is read`);

function slow(name) {
  const what = name ? `“${title(name)}”` : `Reading ${data.file}`;
  return `${what} has taken ${PATIENCE} seconds so far. Does a loop never end? Stop ends it.`;
}

function summary() {
  const of = results.rows.size;
  const [passed, failed, unwritten] = ["passed", "failed", "unwritten"].map((state) =>
    results.count(state),
  );
  if (passed === of) return `All ${of} public tests pass: download ${data.file} and hand it in.`;
  const parts = [`${passed} of ${of} tests pass`];
  if (failed) parts.push(`${failed} ${failed === 1 ? "fails" : "fail"}`);
  if (unwritten) parts.push(`${unwritten} ${unwritten === 1 ? "is" : "are"} not written yet`);
  return `${parts.join(", ")}.`;
}

function stop() {
  if (!running) return;
  if (running.name && results.rows.has(running.name)) {
    results.show({ name: running.name, state: "stopped" });
  }
  const when = running.name === null ? "while Python was loading" : place();
  kill(`Stopped ${when}. What you wrote is still here.`);
}

// A worker that has been ended takes everything of Python with it. The next run starts another.
function kill(words) {
  python?.terminate();
  python = null;
  end(words);
}

function end(words) {
  clearTimeout(running?.waits);
  running = null;
  say(words);
  showButtons();
}

// Buttons that do nothing now keep the keyboard's focus.
function showButtons() {
  button("run").setAttribute("aria-disabled", Boolean(why || running));
  button("stop").setAttribute("aria-disabled", !running);
}

let later;
function change() {
  clearTimeout(later);
  later = setTimeout(keep, 300);
}

function keep() {
  clearTimeout(later);
  if (code.text !== kept.text || !kept.isSafe) kept.keep(code.text);
}

function reset() {
  const question = `Put the starter's ${data.file} in place of what you wrote?`;
  if (code.text === data.starter || !confirm(question)) return;
  code.text = data.starter;
  keep();
  say("This is the starter again. Undo in the editor brings back what you wrote.");
}

function download() {
  const url = URL.createObjectURL(new Blob([code.text], { type: "text/x-python" }));
  const link = document.createElement("a");
  Object.assign(link, { href: url, download: data.file }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

for (const [name, act] of Object.entries({ run, stop, reset, download })) {
  button(name).addEventListener("click", act);
}
addEventListener("pagehide", keep);
addEventListener("storage", (event) => kept.isElsewhere(event));
addEventListener("beforeunload", (event) => {
  if (!kept.isSafe && code.text !== data.starter) event.preventDefault();
});
say(why || `Nothing has run yet. The first run loads Python, ${data.megabytes} MB, into this tab.`);
showButtons();
