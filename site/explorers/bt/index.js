// <rl-bt>: edit a table of comparisons, drag scores: probability, loss, gradient, and
// what the table says at best, with standard errors.
import { button, choice, controls, slider } from "../lib/controls.js";
import { Explorer, define } from "../lib/explorer.js";
import { fixed } from "../lib/format.js";
import { Handle } from "../lib/handle.js";
import { tell } from "../lib/numbers.js";
import { snap } from "../lib/state.js";
import { canvas } from "../lib/svg.js";
import * as math from "./math.js";
import { HEIGHT, NAMES, curvePanel, rowMiddle, scorePanel, scoreScale } from "./panels.js";

const SCORE = { min: -4, max: 4, step: 0.05 };
const COUNT = { min: 0, max: 30, step: 1 };
const PLAYER = { min: 0, max: 3, step: 1 };
const FIELDS = {
  // Row by row, without the diagonal.
  w: { ...COUNT, length: 12, start: [7, 9, 11, 6, 7, 9, 4, 6, 8, 2, 4, 3] },
  r: { ...SCORE, length: 4, start: [1, 0, 0, -0.5] },
  c: { ...PLAYER, start: 0 },
  o: { ...PLAYER, start: 3 },
  m: { min: 0, max: 2, step: 0.1, start: 0 },
  s: { min: 0, max: 0.4, step: 0.02, start: 0 },
};
const PLACES = NAMES.flatMap((_, i) => NAMES.flatMap((_, j) => (i === j ? [] : [[i, j]])));
const STEP = 0.05;

class BradleyTerry extends Explorer {
  static key = "bt";
  static title = "What do the comparisons say, and how surely?";
  static fields = FIELDS;

  build(body) {
    this.#buildTable(body);
    const row = controls(body);
    const players = { options: NAMES };
    this.showChosen = choice(row, "chosen", players, (name) => this.#choose("c", "o", name));
    this.showRejected = choice(row, "rejected", players, (name) => this.#choose("o", "c", name));
    button(row, "One step uphill", () => this.#climb());
    this.jump = button(row, "Scores of the fit", () => this.#move(this.facts.best));
    this.scores = canvas(body, "Scores");
    this.handles = NAMES.map(
      (name, i) =>
        new Handle(this.scores, {
          label: `score of ${name}`,
          colour: "reward",
          along: "x",
          field: SCORE,
          set: (value) => this.set({ r: changed(this.state.r, i, value) }),
        }),
    );
    this.curves = canvas(body, "Probability and loss against the difference of two scores");
    const last = controls(body);
    this.showMargin = slider(last, "margin", FIELDS.m, (m) => this.set({ m }));
    this.showSmoothing = slider(last, "label smoothing", FIELDS.s, (s) => this.set({ s }));
  }

  #buildTable(body) {
    const place = document.createElement("div");
    place.className = "rl-table";
    const cell = (i, j) =>
      i === j
        ? "<td>–</td>"
        : `<td><input type="number" min="${COUNT.min}" max="${COUNT.max}" data-at="${i} ${j}"
            aria-label="wins of ${NAMES[i]} over ${NAMES[j]}"> <small></small></td>`;
    const heads = NAMES.map((name) => `<th scope="col">over ${name}</th>`).join("");
    const rows = NAMES.map(
      (name, i) =>
        `<tr><th scope="row">${name}</th>${NAMES.map((_, j) => cell(i, j)).join("")}` +
        `<td data-sum></td></tr>`,
    );
    place.innerHTML = `<table><thead><tr><th scope="col">wins (expected)</th>${heads}
      <th scope="col">all</th></tr></thead><tbody>${rows.join("")}</tbody></table>`;
    body.append(place);
    this.inputs = PLACES.map(([i, j]) => place.querySelector(`[data-at="${i} ${j}"]`));
    this.sums = [...place.querySelectorAll("[data-sum]")];
    this.inputs.forEach((input, at) =>
      input.addEventListener("change", () => {
        const count = input.value === "" ? 0 : snap(COUNT, Number(input.value));
        this.set({ w: changed(this.state.w, at, count) });
      }),
    );
  }

  // Nobody is compared with oneself: the two change places.
  #choose(one, other, name) {
    const at = NAMES.indexOf(name);
    const now = this.state[one];
    this.set(at === this.state[other] ? { [one]: at, [other]: now } : { [one]: at });
  }

  #move(scores) {
    this.set({ r: scores.map((one) => snap(SCORE, one)) });
  }

  #climb() {
    const { gradient } = this.facts;
    this.#move(this.state.r.map((one, i) => one + STEP * gradient[i]));
  }

  compute() {
    const { state } = this;
    const { w, r, c, o, m, s } = state;
    const wins = NAMES.map((_, i) => NAMES.map((_, j) => (i === j ? 0 : w[placeOf(i, j)])));
    const connected = math.isConnected(wins);
    const best = connected ? math.fit(wins) : undefined;
    const games = wins[c][o] + wins[o][c];
    return {
      state,
      wins,
      best,
      errors: connected ? math.errors(wins, best) : undefined,
      likelihood: math.logLikelihood(wins, r),
      gradient: math.derivatives(wins, r).gradient,
      gap: r[c] - r[o],
      pair: math.pairLoss(r[c], r[o], m, s),
      share: games > 0 ? wins[c][o] / games : undefined,
    };
  }

  words() {
    const { state, pair, best, errors, likelihood } = this.facts;
    const { c, o, r } = state;
    const chance = fixed(math.probability(r[c], r[o]), 3);
    const told =
      `${NAMES[c]} is preferred to ${NAMES[o]} with probability ${chance}. ` +
      `Such a choice costs ${fixed(pair.loss, 3)} and pulls both scores ` +
      `with ${fixed(Math.abs(pair.gradient), 3)}. `;
    const all = `The log-likelihood of the table is ${fixed(likelihood, 2)}`;
    if (!best)
      return (
        `${told}${all}. It has no maximum: ` +
        "wins do not lead from everybody to everybody, and some score runs off to infinity."
      );
    const ahead = best[c] - best[o];
    return (
      `${told}${all}, at best ${fixed(math.logLikelihood(this.facts.wins, best), 2)}. ` +
      `The fit has ${NAMES[c]} ${fixed(Math.abs(ahead))} ${ahead < 0 ? "below" : "above"} ` +
      `${NAMES[o]}, with a standard error of ${fixed(errors.gaps[c][o])}.`
    );
  }

  draw(width) {
    const found = this.facts;
    const { r, c, o, m, s } = this.state;
    const x = scoreScale(SCORE, width);
    this.scores.draw(width, HEIGHT.scores, scorePanel(x, width, SCORE, found).join(""));
    this.handles.forEach((handle, i) => {
      const words = `${fixed(r[i])}; pull of the table ${fixed(found.gradient[i])}`;
      handle.place(x(r[i]), rowMiddle(i), r[i], words, x);
    });
    this.curves.draw(width, HEIGHT.curves, curvePanel(width, found).join(""));
    this.#drawTable(found);
    this.showChosen(NAMES[c]);
    this.showRejected(NAMES[o]);
    this.showMargin(m, fixed(m, 1));
    this.showSmoothing(s, fixed(s));
    this.jump.disabled = found.best === undefined;
    const { errors, best } = found;
    const error = best && `${fixed(best[c])} ± ${fixed(errors.scores[c])} for ${NAMES[c]}`;
    tell("bt", {
      probability: fixed(math.probability(r[c], r[o]), 3),
      loss: fixed(found.pair.loss, 3),
      chosen: `${fixed(r[c])}, ${NAMES[c]}`,
      rejected: `${fixed(r[o])}, ${NAMES[o]}`,
      gradient: `${fixed(found.gradient[c])} games for ${NAMES[c]}`,
      error: error ?? "none, because there is no fit",
    });
  }

  // Beside each count: how many wins the scores expect.
  #drawTable({ wins }) {
    const { w, r } = this.state;
    this.inputs.forEach((input, at) => {
      const [i, j] = PLACES[at];
      if (Number(input.value) !== w[at] || input.value === "") input.value = w[at];
      const expected = (wins[i][j] + wins[j][i]) * math.probability(r[i], r[j]);
      input.nextElementSibling.textContent = `(${fixed(expected, 1)})`;
    });
    this.sums.forEach((place, i) => {
      place.textContent = wins[i].reduce((total, one) => total + one, 0);
    });
  }
}

function placeOf(i, j) {
  return PLACES.findIndex(([one, other]) => one === i && other === j);
}

function changed(list, at, value) {
  return list.map((one, i) => (i === at ? value : one));
}

define(BradleyTerry);
