// What was typed stays in this browser. Where that cannot be, a sentence says so.
const LOST = "This browser keeps nothing of this page: download your file before you leave.";

export class Kept {
  // said: called with a sentence each time that it is another one.
  constructor(name, starter, said) {
    Object.assign(this, { key: `write ${name}`, starter, said, words: "" });
    this.isSafe = true;
    try {
      this.text = localStorage.getItem(this.key) ?? starter;
      if (this.text !== starter) this.#say("This is what you wrote last time.");
    } catch {
      this.text = starter;
      this.isSafe = false;
      this.#say(LOST);
    }
  }

  keep(text) {
    this.text = text;
    try {
      if (text === this.starter) localStorage.removeItem(this.key);
      else localStorage.setItem(this.key, text);
      this.isSafe = true;
      this.#say(text === this.starter ? "" : "What you write is kept in this browser.");
    } catch {
      this.isSafe = text === this.starter;
      this.#say(LOST);
    }
  }

  // Another tab has kept something of the same assignment.
  isElsewhere({ key, newValue }) {
    if (key !== this.key || (newValue ?? this.starter) === this.text) return;
    this.#say("Another tab has changed this file: reload the page to see it, or go on here.");
  }

  #say(words) {
    if (words !== this.words) this.said(words);
    this.words = words;
  }
}
