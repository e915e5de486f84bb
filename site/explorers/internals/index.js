// <rl-internals>: scrub through a recorded training of Double DQN, and look inside.
import { table, tablePlace } from "../lib/controls.js";
import { Explorer, define } from "../lib/explorer.js";
import { fixed } from "../lib/format.js";
import { Handle } from "../lib/handle.js";
import { tell } from "../lib/numbers.js";
import { unpacked } from "../lib/packed.js";
import { canvas } from "../lib/svg.js";
import * as math from "./math.js";
import { HEIGHT, angleScale, leanPanel, runPanel, unitPanel, valuePanel } from "./panels.js";
import recorded from "./runs.json";

const { gamma, probes, angles } = recorded;
const MOMENTS = recorded.moments.map((one) => ({
  ...one,
  active: unpacked(one.active),
  visits: unpacked(one.visits),
}));
const HIGHEST = Math.max(...MOMENTS.flatMap((one) => one.values.flat()));
const PUSH = ["left", "right"];
const FIELDS = {
  moment: { min: 1, max: MOMENTS.length, step: 1, start: 8 },
  angle: { min: angles[0], max: angles.at(-1), step: 1, start: 4 },
};

class Internals extends Explorer {
  static key = "internals";
  static title = "What happens inside while it learns?";
  static fields = FIELDS;

  build(body) {
    this.run = canvas(body, "The training: return and norm of the gradient");
    this.cursor = this.#handle(this.run, "moment of the training", "moment");
    this.values = canvas(body, "Values of both actions against the angle of the pole");
    this.angle = this.#handle(this.values, "angle of the pole", "angle");
    this.units = canvas(body, "Units of the first layer");
    const note = document.createElement("p");
    note.className = "rl-note";
    note.textContent =
      "Recorded with the course's solution on CartPole-v1: Double DQN with its default settings." +
      " Values are those of a cart in the middle, at rest. A dashed field is a unit that none of" +
      " the latest states wakes.";
    body.append(note);
    this.table = tablePlace(body, "The transition that surprised most");
  }

  #handle(place, label, name) {
    const set = (value) => this.set({ [name]: value });
    return new Handle(place, { label, colour: "ink", along: "x", field: FIELDS[name], set });
  }

  compute() {
    const now = MOMENTS[this.state.moment - 1];
    const at = angles.indexOf(this.state.angle);
    const { reward, online, target, terminated, q, action } = now;
    const y = math.doubleTarget(reward, online, target, terminated, gamma);
    return {
      now,
      at,
      advantage: math.advantages(...now.values)[at],
      silent: now.active.filter((count) => count === 0).length,
      y,
      plain: math.dqnTarget(reward, target, terminated, gamma),
      error: y - q[action],
    };
  }

  words() {
    const { now, advantage, silent, error } = this.facts;
    const { angle } = this.state;
    const better = advantage < 0 ? "left" : "right";
    const steps = now.step.toLocaleString("en");
    return (
      `After ${steps} steps an episode lasts ${fixed(now.return, 0)} of 500 steps, ` +
      `ε is ${fixed(now.epsilon)}, and the norm of the gradient ${fixed(now.norm, 1)}. ` +
      `Where the pole leans by ${fixed(angle, 0)}°, pushing ${better} is worth ` +
      `${fixed(Math.abs(advantage))} more. ${silent} of ${now.active.length} units are silent. ` +
      `The largest error of the last batch is ${fixed(error)}.`
    );
  }

  draw(width) {
    const facts = this.facts;
    const { now, at } = facts;
    const run = runPanel(width, MOMENTS, now);
    this.run.draw(width, HEIGHT.run, run.parts.join(""));
    const said = `${now.step} steps: return ${fixed(now.return, 0)}`;
    const along = { back: (pixel) => (run.x.back(pixel) / MOMENTS.at(-1).step) * MOMENTS.length };
    this.cursor.place(run.x(now.step), run.y, this.state.moment, said, along);
    this.#drawAngles(width, now, at);
    const units = unitPanel(width, now.active, probes);
    this.units.draw(width, units.height, units.parts.join(""));
    this.#drawTable(facts);
    this.#tell(facts);
  }

  #drawAngles(width, { values, visits }, at) {
    const x = angleScale(width, angles);
    const advantages = math.advantages(...values);
    const parts = [
      ...valuePanel(width, x, { angles, values, visits, high: HIGHEST, at }),
      ...leanPanel(width, x, { angles, advantages }),
    ];
    this.values.draw(width, HEIGHT.angles, parts.join(""));
    const worth = `left ${fixed(values[0][at])}, right ${fixed(values[1][at])}`;
    const { angle } = this.state;
    this.angle.place(x(angle), HEIGHT.angles - 26, angle, `${fixed(angle, 0)}°: ${worth}`, x);
  }

  #drawTable({ now, y, plain, error }) {
    const { reward, terminated, online, target, q, action } = now;
    const pair = (values) => values.map((one) => fixed(one)).join(", ");
    const lines = [
      ["reward r", fixed(reward, 0)],
      ["terminated", terminated ? "yes" : "no"],
      ["online network at s', left and right", pair(online)],
      ["target network at s', left and right", pair(target)],
      ["y of DQN", fixed(plain)],
      ["y of Double DQN, which learns here", fixed(y)],
      [`Q(s, a), a = push ${PUSH[action]}`, fixed(q[action])],
      ["error y − Q(s, a)", fixed(error)],
      ["its loss, Huber", fixed(math.huber(error))],
      ["its pull", fixed(math.pull(error))],
    ];
    const rows = lines.map(([head, cell]) => ({ head, cells: [cell] }));
    this.table.innerHTML = table(["the transition that surprised most", "now"], rows);
  }

  #tell({ now, y, plain, error }) {
    const { reward, terminated, online, target, q, action } = now;
    const choice = online[0] >= online[1] ? 0 : 1;
    const nothing = "not asked for: the step terminated";
    tell("internals", {
      y: fixed(plain),
      double: fixed(y),
      reward: fixed(reward, 0),
      gamma: String(gamma),
      best: terminated ? nothing : fixed(Math.max(...target)),
      choice: terminated ? nothing : `push ${PUSH[choice]}`,
      judged: terminated ? nothing : fixed(target[choice]),
      q: fixed(q[action]),
      error: fixed(error),
      small: Math.abs(error) <= 1 ? `${fixed(math.huber(error))}: this case` : "not this case",
      large: Math.abs(error) > 1 ? `${fixed(math.huber(error))}: this case` : "not this case",
      slope: fixed(math.pull(error)),
    });
  }
}

define(Internals);
