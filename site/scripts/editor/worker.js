// Python runs beside the page: then the page answers while a test runs, and can end it.
import { loadPyodide } from "./pyodide.mjs";

const near = (name) => new URL(name, import.meta.url).href;
let run;

async function start(wheels) {
  const quiet = { stdout() {}, stderr() {}, stdin: () => undefined };
  const python = await loadPyodide({ indexURL: near("."), ...quiet });
  const told = { messageCallback() {}, errorCallback() {} };
  await python.loadPackage(wheels.map(near), told);
  const answer = await fetch(near("run.py"));
  if (!answer.ok) throw new Error(`run.py: ${answer.status}`);
  python.runPython(await answer.text());
  return python.globals.get("run");
}

onmessage = async ({ data: { wheels, file, files } }) => {
  try {
    run ??= await start(wheels);
    run("/home/pyodide/work", file, JSON.stringify(files), (told) => postMessage(JSON.parse(told)));
  } catch (error) {
    const lines = String(error.message).trim().split("\n");
    postMessage({ kind: run ? "broken" : "missing", words: lines.at(-1) });
  }
};
