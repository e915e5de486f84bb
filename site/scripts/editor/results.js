// What became of each test, as a list and as a bar, and what to write next.
const STATES = {
  passed: ["✓", "passed"],
  failed: ["✗", "failed"],
  unwritten: ["○", "not written yet"],
  stopped: ["■", "stopped"],
  waiting: ["·", "not run"],
};

export const title = (name) => name.replace(/^test_/, "").replaceAll("_", " ");

export function element(name, attributes = {}, ...inside) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...inside);
  return node;
}

export class Results {
  // goTo: line number -> shows it in the editor.
  constructor(bar, place, goTo) {
    Object.assign(this, { bar, place, goTo });
    this.clear();
  }

  clear() {
    this.rows = new Map();
    this.bar.replaceChildren();
    this.place.replaceChildren();
  }

  expect(names) {
    for (const name of names) {
      const part = element("span");
      const row = element("li");
      this.rows.set(name, { part, row });
      this.bar.append(part);
      this.show({ name, state: "waiting" });
    }
    const list = element("ol", { class: "write-tests" });
    list.append(...[...this.rows.values()].map(({ row }) => row));
    this.place.append(element("h2", {}, "The public tests"), list);
  }

  show({ name, state, said = "", words = "", line = null }) {
    const known = this.rows.get(name);
    const [mark, told] = STATES[state] ?? STATES.failed;
    Object.assign(known, { state, said, line });
    known.part.className = known.row.className = `is-${state}`;
    known.row.replaceChildren(
      element("span", { class: "write-mark", "aria-hidden": "true" }, mark),
      element("span", { class: "write-name" }, title(name)),
      element("span", { class: "write-state" }, told),
    );
    if (line) known.row.append(this.#line(line));
    if (state === "failed") {
      known.row.append(element("p", { class: "write-message" }, said.split("\n")[0]));
    }
    if (words) known.row.append(details(state === "failed" ? "The test" : "Printed", words));
  }

  // The starter's own list; the first of it is what to write now.
  advise(todo) {
    if (todo.length === 0) return;
    const [first, ...rest] = todo.map((words) => this.#task(words));
    const node = element("section", { class: "write-next" });
    node.append(element("h2", {}, "What to write next"), element("ul", {}, first));
    if (rest.length > 0) {
      const summary = element("summary", {}, `and then ${rest.length} more`);
      node.append(element("details", {}, summary, element("ul", {}, ...rest)));
    }
    this.place.prepend(node);
  }

  // The words are said elsewhere. Here is the way to the line.
  refuse({ line }) {
    const node = element("p", { class: "write-refused" });
    if (line) node.append("Go to ", this.#line(line));
    this.place.prepend(node);
  }

  printed(words) {
    if (words) this.place.append(details("Printed while the file was imported", words));
  }

  count(state) {
    return [...this.rows.values()].filter((row) => row.state === state).length;
  }

  // "TODO(part): words" -> the part as a label, the words, and the line of the first test's stop.
  #task(words) {
    const [, part, rest] = /^TODO\((\w+)\): (.*)$/s.exec(words) ?? [];
    const node = element("li", {}, ...(part ? [element("b", {}, part), ` ${rest} `] : [`${words} `]));
    const row = [...this.rows.values()].find(({ said, line }) => said === words && line);
    if (row) node.append(this.#line(row.line));
    return node;
  }

  #line(number) {
    const attributes = { type: "button", class: "write-line" };
    const button = element("button", attributes, `line ${number}`);
    button.addEventListener("click", () => this.goTo(number));
    return button;
  }
}

function details(summary, words) {
  return element("details", {}, element("summary", {}, summary), element("pre", { tabindex: "0" }, words));
}
