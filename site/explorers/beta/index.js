// <rl-beta>: drag the KL that each of twelve updates has caused, and see what two rules make of it.
import { choice, controls } from "../lib/controls.js";
import { Explorer, define } from "../lib/explorer.js";
import { fixed } from "../lib/format.js";
import { Handle } from "../lib/handle.js";
import { canvas, line, path, rect, scale, text } from "../lib/svg.js";
import { doubling, proportional } from "./math.js";

const UPDATES = 12;
const KL = { min: 0, max: 0.04, step: 0.001 };
const FIELDS = {
  kl: {
    ...KL,
    length: UPDATES,
    start: [0.012, 0.009, 0.011, 0.03, 0.036, 0.028, 0.018, 0.014, 0.004, 0.002, 0.009, 0.01],
  },
  d: { min: 0.004, max: 0.026, step: 0.001, start: 0.01 },
  share: { options: ["0.1", "0.5", "1"], start: "0.5" },
};
const HORIZON = 1000;
const HEIGHT = { upper: 180, lower: 170 };

class Beta extends Explorer {
  static key = "beta";
  static title = "The policy moved this far. What becomes of β?";
  static fields = FIELDS;

  build(body) {
    this.upper = canvas(body, "KL of each update, and the target");
    this.handles = Array.from(
      { length: UPDATES },
      (_, i) =>
        new Handle(this.upper, {
          label: `KL of update ${i + 1}`,
          colour: "kl",
          along: "y",
          field: KL,
          set: (value) => this.set({ kl: this.state.kl.map((one, j) => (j === i ? value : one)) }),
        }),
    );
    this.target = new Handle(this.upper, {
      label: "target d",
      colour: "ink",
      along: "y",
      field: FIELDS.d,
      set: (value) => this.set({ d: value }),
    });
    this.lower = canvas(body, "The weight after each update, by both rules");
    const label = "n/horizon of the proportional controller";
    this.showShare = choice(controls(body), label, FIELDS.share, (share) => this.set({ share }));
  }

  betas() {
    const { kl, d, share } = this.state;
    return {
      doubled: doubling(1, kl, d),
      steady: proportional(1, kl, d, HORIZON, Number(share) * HORIZON),
    };
  }

  words() {
    const { kl, d } = this.state;
    const { doubled, steady } = this.betas();
    const far = kl.filter((one) => one > 1.5 * d).length;
    const near = kl.filter((one) => one < d / 1.5).length;
    return (
      `${far} of ${UPDATES} updates moved more than 1.5 d and ${near} less than d/1.5. ` +
      `From β = 1, doubling and halving ends at ${short(doubled.at(-1))} and went as far as ` +
      `${short(farthest(doubled))}; the proportional controller ends at ${short(steady.at(-1))}.`
    );
  }

  draw(width) {
    this.showShare(this.state.share);
    this.#drawKl(width);
    this.#drawBetas(width);
  }

  #x(width) {
    return scale([0, UPDATES], [44, width - 12]);
  }

  #drawKl(width) {
    const { kl, d } = this.state;
    const x = this.#x(width);
    const y = scale([0, KL.max], [HEIGHT.upper - 20, 22]);
    const bar = (x(1) - x(0)) * 0.56;
    const parts = [
      rect(x(0), y(1.5 * d), x(UPDATES), y(d / 1.5), "kl", 'opacity="0.12"'),
      line(x(0), y(d), x(UPDATES), y(d), "ink", 'stroke-dasharray="4 3"'),
      line(x(0), y(0), x(UPDATES), y(0)),
      line(x(0), y(0), x(0), y(KL.max)),
      text(x(0) - 6, y(KL.max) + 5, KL.max, "faint", "end"),
      text(x(0) - 6, y(0) + 4, "0", "faint", "end"),
      text(x(0) + 4, 13, "KL of each update; the band is d/1.5 to 1.5 d", "kl", "start"),
    ];
    kl.forEach((one, i) => {
      const middle = x(i + 0.5);
      parts.push(rect(middle - bar / 2, y(one), middle + bar / 2, y(0), "kl", 'opacity="0.45"'));
      parts.push(text(middle, y(0) + 15, i + 1, "faint"));
      const where =
        one > 1.5 * d ? "too far" : one < d / 1.5 ? "not far enough" : "within the band";
      this.handles[i].place(middle, y(one), one, `${fixed(one, 3)}, ${where}`, y);
    });
    this.target.place(x(0), y(d), d, fixed(d, 3), y);
    parts.push(text(x(0) - 14, y(d) + 4, "d", "ink", "end"));
    this.upper.draw(width, HEIGHT.upper, parts.join(""));
  }

  #drawBetas(width) {
    const { doubled, steady } = this.betas();
    const x = this.#x(width);
    const powers = [...doubled, ...steady].map(Math.log2);
    const [low, high] = [
      Math.min(-2, Math.floor(Math.min(...powers))),
      Math.max(2, Math.ceil(Math.max(...powers))),
    ];
    const y = scale([low, high], [HEIGHT.lower - 8, 26]);
    const shown = (betas) => betas.map((beta, i) => [x(i), y(Math.log2(beta))]);
    const steps = shown(doubled).flatMap(([at, level], i, all) =>
      i
        ? [
            [at, all[i - 1][1]],
            [at, level],
          ]
        : [[at, level]],
    );
    const ticks = [low, 0, high].map(
      (at) =>
        text(x(0) - 6, y(at) + 4, short(2 ** at), "faint", "end") +
        line(x(0), y(at), x(UPDATES), y(at), "faint", 'opacity="0.4"'),
    );
    this.lower.draw(
      width,
      HEIGHT.lower,
      [
        ...ticks,
        line(x(0), y(low), x(0), y(high)),
        path(steps, "kl", 'stroke-width="2.5"'),
        path(shown(steady), "kl", 'stroke-width="2.5" stroke-dasharray="7 4"'),
        text(x(0) + 4, 14, "β:  — doubled or halved   ┄ proportional", "kl", "start"),
      ].join(""),
    );
  }
}

const short = (number) => Number(number.toPrecision(3)).toString();

function farthest(betas) {
  return betas.reduce((far, one) =>
    Math.abs(Math.log(one)) > Math.abs(Math.log(far)) ? one : far,
  );
}

define(Beta);
