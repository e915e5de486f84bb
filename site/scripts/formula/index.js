// Live formulas: hover, touch or focus a term, and read what it means, its number in the explorer,
// where the starter asks for it, and the public test that pins it. The page holds all but the
// numbers already, as a list.
import { listen } from "../../explorers/lib/numbers.js";

class Formula {
  constructor(root) {
    this.root = root;
    this.explorer = root.dataset.of;
    this.rows = new Map(
      [...root.querySelectorAll("[data-row]")].map((row) => [row.dataset.row, row]),
    );
    const chips = document.createElement("div");
    chips.className = "rl-chips";
    chips.setAttribute("role", "group");
    chips.setAttribute("aria-label", "Terms of the formula");
    for (const [name, row] of this.rows) chips.append(chip(name, row));
    this.told = document.createElement("p");
    this.told.className = "rl-term";
    root.querySelector(".terms").replaceWith(chips, this.told);
    for (const kind of ["pointerover", "focusin", "click"]) {
      root.addEventListener(kind, (event) => this.#touch(event.target));
    }
    this.#choose([...this.rows.keys()][0]);
    listen(this.explorer, (numbers) => {
      this.numbers = numbers;
      this.#tell();
    });
  }

  #touch(target) {
    const at = target.closest("[data-term], [data-chip]");
    if (at) this.#choose(at.dataset.term ?? at.dataset.chip);
  }

  #choose(name) {
    this.chosen = name;
    for (const node of this.root.querySelectorAll("[data-term]")) {
      node.classList.toggle("chosen", node.dataset.term === name);
    }
    for (const node of this.root.querySelectorAll("[data-chip]")) {
      node.setAttribute("aria-pressed", node.dataset.chip === name);
    }
    this.#tell();
  }

  #tell() {
    this.told.innerHTML = this.rows.get(this.chosen).querySelector("dd").innerHTML;
    const number = this.numbers?.[this.chosen];
    if (number === undefined) return;
    const now = document.createElement("span");
    now.innerHTML = "In the explorer now: <b></b>. ";
    now.querySelector("b").textContent = number;
    this.told.querySelector(".rl-where").before(now);
  }
}

function chip(name, row) {
  const made = document.createElement("button");
  made.type = "button";
  made.dataset.chip = name;
  made.textContent = row.querySelector("dt").textContent;
  return made;
}

for (const root of document.querySelectorAll(".live")) new Formula(root);
