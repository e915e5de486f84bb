// <rl-clip>: one sample of PPO. Drag its ratio, its advantage and the bounds; see the objective,
// its slope, and the case of the table.
import { button, checkbox, controls, table, tablePlace } from "../lib/controls.js";
import { Explorer, define } from "../lib/explorer.js";
import { Handle } from "../lib/handle.js";
import { canvas, dot, line, path, rect, scale, text } from "../lib/svg.js";
import { COLUMNS, ROWS, cell, place } from "./cases.js";
import { fixed as two } from "../lib/format.js";
import { tell } from "../lib/numbers.js";
import { sample } from "./math.js";

const FIELDS = {
  A: { min: -2, max: 2, step: 0.1, start: 1 },
  r: { min: 0.01, max: 4, step: 0.01, start: 1.5 },
  low: { min: 0.05, max: 0.95, step: 0.05, start: 0.2 },
  high: { min: 0.05, max: 1, step: 0.05, start: 0.2 },
  c: { min: 1.5, max: 3.8, step: 0.1, start: 3 },
  dual: { options: ["off", "on"], start: "off" },
};
const END = 4;
const TOP = { height: 250, range: [-6, 6], name: "objective of one sample" };
const BELOW = { height: 190, range: [-6, 6], name: "its slope in log π" };

class Clip extends Explorer {
  static key = "clip";
  static title = "Where does this sample still pull?";
  static fields = FIELDS;

  build(body) {
    this.canvas = canvas(body, "Objective and slope against the ratio");
    this.handles = {
      r: this.#handle("r", "ratio r", "ratio", "x"),
      A: this.#handle("A", "advantage", "advantage", "y"),
      low: this.#handle("low", "distance below 1: epsilon low", "faint", "x"),
      high: this.#handle("high", "distance above 1: epsilon high", "faint", "x"),
      c: this.#handle("c", "second bound c", "faint", "x"),
    };
    const row = controls(body);
    button(row, "Flip the sign of Â", () => this.set({ A: -this.state.A }));
    this.showDual = checkbox(row, "second bound (dual clip)", (on) => {
      this.set({ dual: on ? "on" : "off" });
    });
    this.table = tablePlace(body, "The cases");
  }

  #handle(name, label, colour, along) {
    const set = (value) => this.set({ [name]: value });
    return new Handle(this.canvas, { label, colour, along, field: FIELDS[name], set });
  }

  get c() {
    return this.state.dual === "on" ? this.state.c : null;
  }

  at(ratio) {
    const { A, low, high } = this.state;
    return sample(ratio, A, low, high, this.c);
  }

  place() {
    const { A, r, low, high } = this.state;
    return place(r, A, low, high, this.c);
  }

  words() {
    const { A, r } = this.state;
    const { objective, slope } = this.at(r);
    const numbers =
      `Ratio ${two(r)}, advantage ${two(A)}: ` +
      `objective ${two(objective)}, slope ${two(slope)}.`;
    const { sign, column } = this.place();
    return sign === 0
      ? `${numbers} Without an advantage nothing pulls.`
      : `${numbers} ${cell(sign, column).why}`;
  }

  draw(width) {
    const x = scale([0, END], [34, width - 14]);
    const gap = 34;
    const upper = scale(TOP.range, [TOP.height, 22]);
    const start = TOP.height + gap;
    const lower = scale(BELOW.range, [start + BELOW.height, start + 18]);
    const content = [
      ...this.#panel(x, upper, TOP.name, (one) => one.objective),
      ...this.#panel(x, lower, BELOW.name, (one) => one.slope),
      ...this.#names(x, upper),
      text((x(0) + x(END)) / 2, start - 10, "ratio r", "ratio"),
    ];
    this.canvas.draw(width, start + BELOW.height + 8, content.join(""));
    this.#placeHandles(x, upper);
    this.showDual(this.c !== null);
    this.#drawTable();
    this.#updateFormula();
  }

  #panel(x, y, name, value) {
    const { A, r, low, high } = this.state;
    const [bottom, top] = [y(-6), y(6)];
    const inside = rect(x(1 - low), top, x(1 + high), bottom, "ratio", 'opacity="0.1"');
    const ticks = [0, 1, 2, 3, 4].map(
      (at) => line(x(at), y(0) - 3, x(at), y(0) + 3) + text(x(at), y(0) + 16, at, "faint"),
    );
    const levels = [-4, 4].map(
      (at) =>
        line(x(0) - 3, y(at), x(0) + 3, y(at)) +
        text(x(0) - 8, y(at) + 4, two(at).split(".")[0], "faint", "end"),
    );
    const clip = (one) => Math.min(6, Math.max(-6, one));
    const shown = (points) => points.map(([at, one]) => [x(at), y(clip(one))]);
    const plain = shown(
      [
        [0, 0],
        [END, END * A],
      ].map(([at, one]) => [A && Math.abs(one) > 6 ? 6 / Math.abs(A) : at, one]),
    );
    const curve = pieces(this.state, this.c).map((piece) =>
      path(shown(piece.map((at) => [at, value(this.at(at))])), "advantage", 'stroke-width="2.5"'),
    );
    return [
      inside,
      line(x(0), y(0), x(END), y(0)),
      line(x(0), top, x(0), bottom),
      ...ticks,
      ...levels,
      path(plain, "faint", 'stroke-dasharray="4 4"'),
      ...curve,
      line(x(r), top, x(r), bottom, "ratio", 'stroke-dasharray="2 3"'),
      dot(x(r), y(clip(value(this.at(r)))), "advantage"),
      text(x(0) + 6, top - 6, name, "advantage", "start"),
      text(x(END), top - 6, two(value(this.at(r))), "advantage", "end"),
    ];
  }

  #names(x, y) {
    const { A, low, high } = this.state;
    const names = [
      text(x(1 - low) - 11, y(6) + 12, "1−ε", "faint", "end"),
      text(x(1 + high) + 11, y(6) + 12, "1+ε", "faint", "start"),
      text(x(1) + 12, y(A) + (A < 0 ? 18 : -8), "Â", "advantage", "start"),
    ];
    return this.c === null
      ? names
      : [...names, text(x(this.c) + 11, y(6) + 12, "c", "faint", "start")];
  }

  #placeHandles(x, y) {
    const { A, r, low, high, c } = this.state;
    const top = y(6) + 8;
    const { objective, slope } = this.at(r);
    const words = `${two(r)}, objective ${two(objective)}, slope ${two(slope)}`;
    this.handles.r.place(x(r), y(-6) - 6, r, words, x);
    this.handles.A.place(x(1), y(A), A, two(A), y);
    this.handles.low.place(
      x(1 - low),
      top,
      low,
      `${two(low)}: clipped below ${two(1 - low)}`,
      back(x, (at) => 1 - at),
    );
    this.handles.high.place(
      x(1 + high),
      top,
      high,
      `${two(high)}: clipped above ${two(1 + high)}`,
      back(x, (at) => at - 1),
    );
    this.handles.c.place(x(c), top, c, two(c), x);
    this.handles.c.show(this.c !== null);
  }

  #drawTable() {
    const { low, high, c } = this.state;
    const heads = ["", `r &lt; ${two(1 - low)}`, "inside", `r &gt; ${two(1 + high)}`];
    const columns = this.c === null ? COLUMNS : [...COLUMNS, "beyond"];
    if (this.c !== null) heads.push(`r &gt; c = ${two(c)}`);
    const here = this.place();
    const rows = ROWS.map(({ sign, head }) => ({
      head,
      cells: columns.map((column) => cellHtml(sign, column, here)),
    }));
    this.table.innerHTML = table(heads, rows);
  }

  #updateFormula() {
    const { A, r } = this.state;
    const { plain, clipped } = this.at(r);
    const smaller =
      plain === clipped
        ? "both are equal"
        : plain < clipped
          ? "r Â is the smaller one"
          : "clip(r) Â is the smaller one";
    tell("clip", {
      ratio: two(r),
      advantage: two(A),
      plain: two(plain),
      clipped: two(clipped),
      min: smaller,
      bound:
        this.c === null
          ? "switched off"
          : A < 0
            ? two(this.state.c * A)
            : "no bound, because Â is not negative",
    });
  }
}

// A scale whose values are distances from 1.
function back(x, distance) {
  return { back: (pixel) => distance(x.back(pixel)) };
}

// The ratios at which the curves bend or jump, in pieces that are straight lines.
function pieces({ A, low, high }, c) {
  const ends = [0, 1 - low, 1 + high, ...(c !== null && A < 0 ? [c] : []), END];
  const sorted = [...new Set(ends)].sort((a, b) => a - b);
  const tiny = 1e-9;
  return sorted.slice(1).map((end, i) => [sorted[i] + tiny, end - tiny]);
}

function cellHtml(sign, column, here) {
  if (column === "beyond" && sign > 0) return "<td>as before</td>";
  const { slope, why } = cell(sign, column);
  const lit = here.sign === sign && here.column === column;
  const mark = lit ? '<span class="rl-here">● here</span> ' : "";
  const start = lit ? '<td class="lit" aria-current="true">' : "<td>";
  return `${start}${mark}<b>${slope}</b> <span class="rl-why">${why}</span></td>`;
}

define(Clip);
