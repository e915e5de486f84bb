// The cells of the handout's table, the cell of the second bound, and a sentence about each.

export const ROWS = [
  { sign: 1, head: "Â &gt; 0: make the action more likely", short: "the action was good" },
  { sign: -1, head: "Â &lt; 0: make it less likely", short: "the action was bad" },
];
export const COLUMNS = ["below", "inside", "above"];

const CELLS = {
  "1 below": ["slope r Â", "It went the wrong way: bring it back."],
  "1 inside": ["slope r Â", "Nothing is clipped."],
  "1 above": ["slope 0", "It is likely enough: nothing more to gain."],
  "-1 below": ["slope 0", "It is rare enough: nothing more to gain."],
  "-1 inside": ["slope r Â", "Nothing is clipped."],
  "-1 above": ["slope r Â", "It went the wrong way: bring it back."],
  "-1 beyond": ["slope 0", "The second bound: one bad sample cannot drown the others."],
};

export function cell(sign, column) {
  const [slope, why] = CELLS[`${sign} ${column}`];
  return { slope, why };
}

// Where a sample is: its row's sign (0 without an advantage) and its column.
export function place(ratio, adv, low, high, c) {
  const sign = Math.sign(adv);
  if (c !== null && sign < 0 && ratio > c && ratio > 1 + high) return { sign, column: "beyond" };
  if (ratio < 1 - low) return { sign, column: "below" };
  return { sign, column: ratio > 1 + high ? "above" : "inside" };
}
