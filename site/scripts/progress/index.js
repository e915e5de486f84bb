// A place to drop results.json on, and what the files say. They are read here and go nowhere.
import { mistakes, next, parts, read } from "./read.js";

const course = JSON.parse(document.getElementById("course-data").textContent);
const root = document.querySelector(".progress");
root.innerHTML = `
  <div class="drop"><label>Files results.json
    <input type="file" multiple accept=".json,application/json"></label>
    <p>or drop them here</p></div>
  <p class="progress-said" role="status"></p>
  <div class="progress-found"></div>`;
const [drop, said, place] = root.children;
const known = new Map();

function element(name, text = "", attributes = {}) {
  const node = document.createElement(name);
  node.textContent = text;
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

async function take(files) {
  const wrong = [];
  for (const file of files) {
    try {
      const result = read(await file.text(), course);
      known.set(result.name, result);
    } catch (error) {
      wrong.push(`${file.name}: ${error.message}`);
    }
  }
  said.textContent = [
    `Results of ${known.size} ${known.size === 1 ? "assignment" : "assignments"}.`,
    ...wrong,
  ].join(" ");
  place.replaceChildren(...Object.keys(course).filter((name) => known.has(name)).map(show));
}

function show(name) {
  const result = known.get(name);
  const section = element("section");
  section.append(element("h2", course[name].title), element("p", sum(result)));
  section.append(table(parts(result, course)));
  const found = mistakes(result, course);
  if (found.length > 0) {
    section.append(element("h3", "Mistakes that were recognised"), list(found.map(mistake)));
  }
  const links = next(result, course).map(({ title, link }) => anchor(title, link));
  if (links.length > 0) section.append(element("h3", "What to read next"), list(links));
  return section;
}

function sum({ points, worth, tests }) {
  const passed = tests.filter((test) => test.verdict === "passed").length;
  const score = points === null ? "There is no score yet" : `${points} of ${worth} points`;
  return `${score}; ${passed} of ${tests.length} tests passed.`;
}

function table(rows) {
  const node = element("table", "", { class: "board-table" });
  const head = element("tr");
  for (const title of ["part", "tests passed", "state"]) {
    head.append(element("th", title, { scope: "col" }));
  }
  node.append(element("thead"), element("tbody"));
  node.firstChild.append(head);
  for (const { title, link, passed, unwritten, of } of rows) {
    const row = element("tr");
    const first = element("th", "", { scope: "row" });
    first.append(anchor(title, link));
    const state = stateOf(passed, unwritten, of);
    const bar = element("meter", "", { min: 0, max: Math.max(of, 1), value: passed });
    bar.setAttribute("aria-label", `${passed} of ${of}`);
    const cell = element("td", `${passed} of ${of} `);
    cell.append(bar);
    row.append(first, cell, element("td", state));
    node.lastChild.append(row);
  }
  const wrapper = element("div", "", { class: "table-wrapper" });
  wrapper.append(node);
  return wrapper;
}

function stateOf(passed, unwritten, of) {
  if (of === 0) return "no test";
  if (passed === of) return "done";
  return unwritten === of ? "not written" : "open";
}

function mistake({ when, board }) {
  const node = element("span", `These are the numbers one gets when ${when} `);
  if (board) node.append(anchor("See it in the museum.", board));
  return node;
}

function anchor(title, link) {
  return element("a", title, { href: link });
}

function list(nodes) {
  const all = element("ul");
  for (const node of nodes) {
    const item = element("li");
    item.append(node);
    all.append(item);
  }
  return all;
}

drop.querySelector("input").addEventListener("change", (event) => take(event.target.files));
drop.addEventListener("dragover", (event) => event.preventDefault());
drop.addEventListener("drop", (event) => {
  event.preventDefault();
  take(event.dataTransfer.files);
});
