// What all explorers share: state in the URL, a copied link, words for screen readers, a redraw
// when the width changes.
import { entries, read, starts, write } from "./state.js";

export class Explorer extends HTMLElement {
  // A subclass says: static key, title, fields; build(body) once, draw(width) after each change,
  // words() as a sentence about the state, and compute() if both need numbers that take a while.
  connectedCallback() {
    if (this.state) return;
    const kind = this.constructor;
    this.setAttribute("role", "group");
    this.setAttribute("aria-label", kind.title);
    this.innerHTML = `<p class="rl-title">${kind.title}</p>
      <p class="rl-words" aria-live="polite"></p><div class="rl-body"></div>
      <p class="rl-foot"><button type="button" class="rl-copy">Copy link to this state</button>
      <button type="button" class="rl-reset">Start again</button> <span role="status"></span></p>`;
    this.startState = {
      ...starts(kind.fields),
      ...read(kind.fields, Object.entries(this.dataset)),
    };
    this.state = structuredClone(this.startState);
    this.body = this.querySelector(".rl-body");
    this.build(this.body);
    this.querySelector(".rl-copy").addEventListener("click", () => this.#copy());
    this.querySelector(".rl-reset").addEventListener("click", () => this.set(this.startState));
    window.addEventListener("hashchange", () => this.#restore());
    new ResizeObserver(() => this.#redraw()).observe(this.body);
    this.#restore();
    this.#redraw();
  }

  // Change some fields, draw, and put the state into the address.
  set(change) {
    this.state = { ...this.state, ...structuredClone(change) };
    this.#redraw();
    clearTimeout(this.pending);
    this.pending = setTimeout(() => history.replaceState(null, "", this.#hash()), 150);
  }

  // What compute() makes of the state, made once for each state.
  get facts() {
    if (this.factsOf !== this.state) {
      this.factsOf = this.state;
      this.kept = this.compute();
    }
    return this.kept;
  }

  #hash() {
    return `#${this.constructor.key}:${write(this.constructor.fields, this.state)}`;
  }

  #restore() {
    const { key, fields } = this.constructor;
    const told = read(fields, entries(location.hash, key));
    if (Object.keys(told).length === 0) return;
    this.state = { ...this.startState, ...told };
    this.#redraw();
    whenLoaded(() => this.scrollIntoView({ block: "start", behavior: "instant" }));
  }

  #redraw() {
    const width = Math.floor(this.body.clientWidth);
    if (width > 0) this.draw(width);
    const words = this.words();
    const place = this.querySelector(".rl-words");
    clearTimeout(this.speaking);
    if (place.textContent === "") place.textContent = words;
    // A drag is one change for somebody who listens.
    else this.speaking = setTimeout(() => (place.textContent = words), 250);
  }

  async #copy() {
    const link = location.href.split("#")[0] + this.#hash();
    const status = this.querySelector("[role=status]");
    try {
      await navigator.clipboard.writeText(link);
      status.textContent = "Copied.";
    } catch {
      status.textContent = link;
    }
  }
}

// Before that, pictures above would move the page again.
function whenLoaded(run) {
  if (document.readyState === "complete") run();
  else window.addEventListener("load", () => setTimeout(run), { once: true });
}

export function define(kind) {
  customElements.define(`rl-${kind.key}`, kind);
}
