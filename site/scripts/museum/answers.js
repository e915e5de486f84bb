// What was answered at the first look, in this browser alone. Without storage, for this page alone.
const KEY = "museum of mistakes";

export class Answers {
  constructor() {
    try {
      this.known = JSON.parse(localStorage.getItem(KEY)) ?? {};
    } catch {
      this.known = {};
    }
  }

  // Only the first answer of a board counts.
  note(name, right) {
    if (name in this.known) return;
    this.known[name] = right;
    this.#keep();
  }

  forget(names) {
    for (const name of names) delete this.known[name];
    this.#keep();
  }

  count(names) {
    const seen = names.filter((name) => name in this.known);
    return { seen: seen.length, right: seen.filter((name) => this.known[name]).length };
  }

  #keep() {
    try {
      localStorage.setItem(KEY, JSON.stringify(this.known));
    } catch {
      // A browser may keep nothing: then the score ends with the page.
    }
  }
}
