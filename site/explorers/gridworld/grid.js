// The grid: a picture, and over it one cell for each field. It paints, and it has the focus in one
// cell at a time.
import { fixed } from "../lib/format.js";
import { canvas, line, path, rect, text } from "../lib/svg.js";
import { CELLS, COLUMNS, END, ROWS, START, WALL } from "./run.js";

export const NAMES = { ".": "free", w: "wall", e: "end", s: "start" };
const STEPS = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -COLUMNS, ArrowDown: COLUMNS };
const DIRECTIONS = [
  [-1, 0, "left"],
  [0, 1, "down"],
  [1, 0, "right"],
  [0, -1, "up"],
];
const SIDEWAYS = 10;
const PALE = 'opacity="0.18"';

export class Grid {
  // acts: choose(cell), paint(cell), reward(cell, steps), tool() -> the name of the tool.
  constructor(parent, acts) {
    this.acts = acts;
    this.root = document.createElement("div");
    this.root.className = "rl-grid";
    parent.append(this.root);
    this.canvas = canvas(this.root, "The grid");
    const table = document.createElement("div");
    table.className = "rl-cells";
    table.setAttribute("role", "grid");
    table.setAttribute("aria-label", "Fields of the grid");
    const row = (at) =>
      Array.from({ length: COLUMNS }, (_, i) => `<div role="gridcell" data-at="${at + i}"></div>`);
    table.innerHTML = Array.from(
      { length: ROWS },
      (_, i) => `<div role="row">${row(i * COLUMNS).join("")}</div>`,
    ).join("");
    this.root.append(table);
    this.cells = [...table.querySelectorAll("[data-at]")];
    table.addEventListener("keydown", (event) => this.#key(event));
    table.addEventListener("pointerdown", (event) => this.#down(event));
    table.addEventListener("pointermove", (event) => this.#move(event));
    for (const kind of ["pointerup", "pointercancel"])
      table.addEventListener(kind, () => (this.from = undefined));
  }

  #key(event) {
    const at = Number(event.target.dataset.at);
    if (event.key in STEPS) {
      const there = at + STEPS[event.key];
      const sideways = Math.abs(STEPS[event.key]) === 1;
      const sameRow = Math.floor(there / COLUMNS) === Math.floor(at / COLUMNS);
      if (there >= 0 && there < CELLS && (!sideways || sameRow)) this.#focus(there);
    } else if (event.key === " " || event.key === "Enter") this.acts.paint(at);
    else if (event.key === "+" || event.key === "-")
      this.acts.reward(at, event.key === "+" ? 1 : -1);
    else return;
    event.preventDefault();
  }

  #focus(at) {
    this.acts.choose(at);
    this.cells[at].focus();
  }

  #down(event) {
    const at = Number(event.target.dataset.at);
    if (!(at >= 0)) return;
    event.preventDefault();
    this.#focus(at);
    this.from = { at, x: event.clientX };
    event.currentTarget.setPointerCapture(event.pointerId);
    this.acts.paint(at);
  }

  // With the tool for rewards sideways is more or less of it. Other tools paint where one goes.
  #move(event) {
    if (this.from === undefined) return;
    if (this.acts.tool() === "reward") {
      const steps = Math.trunc((event.clientX - this.from.x) / SIDEWAYS);
      if (steps === 0) return;
      this.from.x += steps * SIDEWAYS;
      this.acts.reward(this.from.at, steps);
      return;
    }
    const below = document.elementFromPoint(event.clientX, event.clientY);
    const at = Number(below?.dataset?.at);
    if (!this.cells.includes(below) || at === this.from.at) return;
    this.from.at = at;
    this.acts.paint(at);
    this.#focus(at);
  }

  draw(width, found) {
    const side = Math.min(86, Math.floor(width / COLUMNS));
    const { v, state } = found;
    const range = [Math.min(0, ...v), Math.max(0, ...v, Math.min(0, ...v) + 1e-9)];
    const parts = [];
    let s = 0;
    [...state.grid].forEach((letter, at) => {
      const place = [(at % COLUMNS) * side, Math.floor(at / COLUMNS) * side];
      const number = letter === WALL ? -1 : s++;
      parts.push(...this.#cell(place, side, at, number, found, range));
    });
    parts.push(...this.#track(side, found));
    this.canvas.draw(side * COLUMNS, side * ROWS, parts.join(""));
    this.root.style.width = `${side * COLUMNS}px`;
  }

  #cell([x, y], side, at, s, found, [low, high]) {
    const { state, v, pi, mdp, z } = found;
    const letter = state.grid[at];
    const here = this.cells[at];
    here.tabIndex = at === state.cell ? 0 : -1;
    here.setAttribute("aria-selected", at === state.cell);
    here.setAttribute("aria-label", this.#words(at, s, found));
    const box = (inset, colour, extra) =>
      rect(x + inset, y + inset, x + side - inset, y + side - inset, colour, extra);
    const outline = 'fill-opacity="0" stroke="var(--faint)" stroke-width="1"';
    if (letter === WALL) return [box(1, "faint", 'opacity="0.75"')];
    const level = ((v[s] - low) / (high - low)) * (side - 2);
    const parts = [box(0.5, "faint", outline)];
    if (!mdp.terminal[s])
      parts.push(rect(x + 1, y + side - 1 - level, x + side - 1, y + side - 1, "value", PALE));
    if (mdp.terminal[s]) parts.push(box(5, "ink", outline));
    if (state.grid[at] === START) parts.push(text(x + side - 9, y + 16, "S", "faint"));
    const pay = state.pay[at];
    if (pay !== 0) parts.push(text(x + 8, y + 17, signed(pay), "reward", "start"));
    if (mdp.terminal[s]) return [...parts, text(x + side / 2, y + side / 2 + 5, "end", "ink")];
    parts.push(text(x + side / 2, y + side / 2 + 1, fixed(v[s], 2), "value"));
    parts.push(arrows(x + side / 2, y + side * 0.76, side * 0.14, pi[s]));
    if (z && z[s] > 0.005)
      parts.push(rect(x + 4, y + side - 6, x + 4 + (side - 8) * z[s], y + side - 3, "kl"));
    return parts;
  }

  // The chosen cell, and the way of the last step.
  #track(side, { state, move, cells, sweep, done }) {
    const middle = (at) => [
      ((at % COLUMNS) + 0.5) * side,
      (Math.floor(at / COLUMNS) + 0.5) * side - side * 0.3,
    ];
    const frame = (at, colour) => {
      const [x, y] = [(at % COLUMNS) * side, Math.floor(at / COLUMNS) * side];
      const style = `fill-opacity="0" stroke="var(--${colour})" stroke-width="3"`;
      return rect(x + 2, y + 2, x + side - 2, y + side - 2, colour, style);
    };
    const parts = [frame(state.cell, "ratio")];
    if (sweep !== undefined && done > 0) parts.push(frame(cells[done - 1], "advantage"));
    if (move) {
      const ends = [middle(cells[move.s]), middle(cells[move.s2])];
      parts.push(path(ends, "advantage", 'stroke-width="3"'));
      const [x, y] = ends[1];
      parts.push(`<circle cx="${x}" cy="${y}" r="5" style="fill:var(--advantage)"/>`);
    }
    return parts;
  }

  #words(at, s, { state, v, pi, mdp }) {
    const place = `row ${Math.floor(at / COLUMNS) + 1}, column ${(at % COLUMNS) + 1}`;
    const letter = state.grid[at];
    if (letter === WALL) return `${place}: wall`;
    const pay = `reward ${signed(state.pay[at])}`;
    if (mdp.terminal[s]) return `${place}: ${NAMES[END]}, ${pay}`;
    const ways = DIRECTIONS.filter((_, a) => pi[s][a] > 0).map(([, , name]) => name);
    return `${place}: ${NAMES[letter]}, ${pay}, value ${fixed(v[s])}, arrows ${ways.join(", ")}`;
  }
}

export function signed(number) {
  return number > 0 ? `+${fixed(number, 1)}` : fixed(number, 1);
}

// One arrow for each action that the policy may take.
function arrows(x, y, far, row) {
  const wings = far * 0.4;
  return DIRECTIONS.map(([dx, dy], a) => {
    if (row[a] === 0) return "";
    const [tx, ty] = [x + dx * far, y + dy * far];
    const wing = (side) => [
      tx - dx * wings + dy * side * wings,
      ty - dy * wings + dx * side * wings,
    ];
    const head = path([wing(1), [tx, ty], wing(-1)], "ink", 'stroke-width="1.6"');
    return line(x, y, tx, ty, "ink", 'stroke-width="1.6"') + head;
  }).join("");
}
