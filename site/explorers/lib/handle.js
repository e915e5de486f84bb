// A thing on a canvas that one drags along a line, or moves with the keys of a slider.
import { snap } from "./state.js";
import { SVG } from "./svg.js";

const KEYS = {
  ArrowRight: 1,
  ArrowUp: 1,
  ArrowLeft: -1,
  ArrowDown: -1,
  PageUp: 10,
  PageDown: -10,
};

// options: label, colour, field, along ("x" or "y"), set(value), and chosen() when it gets the
// focus.
export class Handle {
  constructor(canvas, options) {
    Object.assign(this, options);
    this.canvas = canvas;
    this.node = document.createElementNS(SVG, "g");
    this.node.setAttribute("class", `handle along-${this.along}`);
    this.node.setAttribute("role", "slider");
    this.node.setAttribute("tabindex", "0");
    this.node.setAttribute("aria-label", this.label);
    this.node.setAttribute("aria-valuemin", this.field.min);
    this.node.setAttribute("aria-valuemax", this.field.max);
    this.node.setAttribute("aria-orientation", this.along === "x" ? "horizontal" : "vertical");
    this.node.innerHTML = `<title>${this.label}</title><circle class="reach" r="16"/>
      <circle class="grip" r="7" style="fill:var(--${this.colour})"/>`;
    canvas.handles.append(this.node);
    if (this.chosen) this.node.addEventListener("focus", () => this.chosen());
    this.node.addEventListener("keydown", (event) => this.#key(event));
    this.node.addEventListener("pointerdown", (event) => this.#grab(event));
    this.node.addEventListener("pointermove", (event) => this.#drag(event));
  }

  // Where it is, what it means there, and the scale that leads back from pixels to values.
  place(x, y, value, words, there) {
    this.value = value;
    this.there = there;
    this.node.setAttribute("transform", `translate(${x.toFixed(1)} ${y.toFixed(1)})`);
    this.node.setAttribute("aria-valuenow", value);
    this.node.setAttribute("aria-valuetext", words);
  }

  show(visible) {
    this.node.toggleAttribute("hidden", !visible);
    this.node.setAttribute("tabindex", visible ? "0" : "-1");
  }

  #key(event) {
    const { min, max, step } = this.field;
    let value = this.value;
    if (event.key === "Home") value = min;
    else if (event.key === "End") value = max;
    else if (event.key in KEYS) value += KEYS[event.key] * step;
    else return;
    event.preventDefault();
    this.set(snap(this.field, value));
  }

  #grab(event) {
    event.preventDefault();
    this.node.focus();
    this.node.setPointerCapture(event.pointerId);
  }

  #drag(event) {
    if (!this.node.hasPointerCapture(event.pointerId)) return;
    const box = this.canvas.svg.getBoundingClientRect();
    const pixel = this.along === "x" ? event.clientX - box.left : event.clientY - box.top;
    const value = snap(this.field, this.there.back(pixel));
    if (value !== this.value) this.set(value);
  }
}
