// <rl-surgery>: PPO with its parts switched off one by one, from recorded runs of ten seeds each.
import { checkbox, controls, table, tablePlace } from "../lib/controls.js";
import { Explorer, define } from "../lib/explorer.js";
import { fixed } from "../lib/format.js";
import { Handle } from "../lib/handle.js";
import { rows } from "../lib/packed.js";
import { canvas, dot, line, path, scale, text } from "../lib/svg.js";
import { band, quantile, reached, unpacked } from "./math.js";
import recorded from "./runs.json";

const { parts, updates, seeds } = recorded;
const PER_UPDATE = 1024;
const LEVEL = 150;
const NAMES = {
  clip: "clipping",
  epochs: "six epochs",
  gae: "GAE",
  norm: "normalised advantages",
};
const OFF = {
  clip: "no clipping",
  epochs: "one epoch",
  gae: "λ = 0",
  norm: "plain advantages",
};
const FIELDS = {
  ...Object.fromEntries(parts.map((part) => [part, { options: ["on", "off"], start: "on" }])),
  update: { min: 1, max: updates, step: 1, start: 12 },
};
const RUNS = Object.fromEntries(
  Object.entries(recorded.runs).map(([name, text]) => [name, rows(unpacked(text), updates)]),
);
const WHOLE = "1".repeat(parts.length);
const HEIGHT = 250;
const TOP = 500;

class Surgery extends Explorer {
  static key = "surgery";
  static title = "Which of PPO's parts can it do without?";
  static fields = FIELDS;

  build(body) {
    const row = controls(body);
    this.boxes = parts.map((part) =>
      checkbox(row, NAMES[part], (on) => this.set({ [part]: on ? "on" : "off" })),
    );
    this.curves = canvas(body, "Return against environment steps");
    this.cursor = new Handle(this.curves, {
      label: "environment steps",
      colour: "ink",
      along: "x",
      field: FIELDS.update,
      set: (update) => this.set({ update }),
    });
    const note = document.createElement("p");
    note.className = "rl-note";
    note.textContent =
      "CartPole-v1, recorded with the course's solution. Line: the middle one of ten seeds; shade:" +
      " eight of ten lie in it. Dashed: everything on.";
    body.append(note);
    this.table = tablePlace(body, "All sixteen operations at once");
  }

  get chosen() {
    return parts.map((part) => (this.state[part] === "on" ? "1" : "0")).join("");
  }

  words() {
    const { update } = this.state;
    const [mine, whole] = [RUNS[this.chosen], RUNS[WHOLE]];
    const now = band(mine)[update - 1];
    const steps = (update * PER_UPDATE).toLocaleString("en");
    const without = parts.filter((part) => this.state[part] === "off").map((part) => OFF[part]);
    const what = without.length === 0 ? "Everything on" : sentence(without);
    const count = (runs) => `${reached(runs, LEVEL, update - 1)} of ${seeds} seeds`;
    return (
      `${what}: after ${steps} steps the middle seed is at ${fixed(now.middle, 0)}, ` +
      `eight of ten between ${fixed(now.low, 0)} and ${fixed(now.high, 0)}. ` +
      `${count(mine)} have passed ${LEVEL}` +
      (without.length === 0 ? "." : `; with everything on, ${count(whole)}.`)
    );
  }

  draw(width) {
    parts.forEach((part, i) => this.boxes[i](this.state[part] === "on"));
    const x = scale([0, updates], [40, width - 14]);
    const y = scale([0, TOP], [HEIGHT - 34, 14]);
    const mine = band(RUNS[this.chosen]);
    const whole = band(RUNS[WHOLE]);
    const along = (found, pick) => found.map((one, i) => [x(i + 1), y(pick(one))]);
    const upper = along(mine, (one) => one.high);
    const lower = along(mine, (one) => one.low);
    const area = [...upper, ...lower.reverse()].map(([a, b]) => `${a.toFixed(1)},${b.toFixed(1)}`);
    const { update } = this.state;
    const at = mine[update - 1].middle;
    const content = [
      ...[0, 250, 500].map(
        (level) =>
          line(x(0), y(level), x(updates), y(level)) +
          text(x(0) - 6, y(level) + 5, level, "faint", "end"),
      ),
      ...[4, 8, 12, 16].map((one) => text(x(one), y(0) + 18, `${one} k`, "faint")),
      `<path d="M${area.join("L")}Z" style="fill:var(--reward)" opacity="0.25"/>`,
      path(
        along(whole, (one) => one.middle),
        "faint",
        'stroke-width="2" stroke-dasharray="5 4"',
      ),
      path(
        along(mine, (one) => one.middle),
        "reward",
        'stroke-width="2.5"',
      ),
      line(x(update), y(0), x(update), y(TOP), "ink", 'stroke-dasharray="2 3"'),
      dot(x(update), y(at), "reward"),
      text(x(0) + 6, 26, "return", "reward", "start"),
    ];
    this.curves.draw(width, HEIGHT, content.join(""));
    const words = `${update * PER_UPDATE}: the middle seed is at ${fixed(at, 0)}`;
    this.cursor.place(x(update), y(0), update, words, x);
    this.#drawTable();
  }

  // The middle seed of each operation at the chosen update: two parts down, two across.
  #drawTable() {
    const { update } = this.state;
    const half = parts.length / 2;
    const sides = ["11", "10", "01", "00"];
    const named = (bits, from) =>
      [...bits].map((bit, i) => (bit === "1" ? NAMES : OFF)[parts[from + i]]).join(", ");
    const cell = (name) => {
      const now = RUNS[name].map((run) => run[update - 1]);
      const middle = fixed(quantile(now, 0.5), 0);
      return name === this.chosen
        ? `<td class="lit" aria-current="true"><span class="rl-here">●</span> ${middle}</td>`
        : middle;
    };
    const lines = sides.map((down) => ({
      head: named(down, 0),
      cells: sides.map((across) => cell(down + across)),
    }));
    this.table.innerHTML = table(["", ...sides.map((side) => named(side, half))], lines);
  }
}

function sentence(words) {
  const text = words.join(" and ");
  return text[0].toUpperCase() + text.slice(1);
}

define(Surgery);
