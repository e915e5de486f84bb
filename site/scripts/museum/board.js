// One board: four sentences to choose from and a verdict. The answer is there without scripts.
const LETTERS = "ABCD";

export class Board {
  constructor(node, answers, changed) {
    Object.assign(this, { node, answers, changed });
    this.name = node.id.replace("board-", "");
    this.answer = Number(node.dataset.answer);
    this.verdict = node.querySelector(".board-verdict");
    this.details = node.querySelector("details");
    this.items = [...node.querySelectorAll(".board-choices li")];
    this.buttons = this.items.map((item, at) => this.#button(item, at));
    // Who looks at the answer first has not named the mistake.
    this.details.addEventListener("toggle", () => {
      if (!this.details.open || this.opened) return;
      this.answers.note(this.name, false);
      this.changed();
    });
  }

  #button(item, at) {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-pressed", "false");
    button.append(item.querySelector("span"));
    button.addEventListener("click", () => this.#choose(at));
    item.append(button);
    return button;
  }

  #choose(at) {
    this.answers.note(this.name, at === this.answer);
    this.show(at);
    history.replaceState(null, "", `#board-${this.name}:${LETTERS[at]}`);
    this.changed();
  }

  show(at) {
    const right = at === this.answer;
    this.buttons.forEach((button, i) => button.setAttribute("aria-pressed", i === at));
    this.items.forEach((item, i) => {
      item.classList.toggle("is-right", i === at && right);
      item.classList.toggle("is-wrong", i === at && !right);
    });
    this.verdict.textContent = right
      ? `${LETTERS[at]} is right.`
      : `Not ${LETTERS[at]}. ${this.items[at].dataset.would} Look again.`;
    if (right) this.#open();
  }

  // Opened by an answer, not by who looks.
  #open() {
    this.opened = true;
    this.details.open = true;
  }

  clear() {
    this.opened = false;
    for (const button of this.buttons) button.setAttribute("aria-pressed", "false");
    for (const item of this.items) item.classList.remove("is-right", "is-wrong");
    this.verdict.textContent = "";
    this.details.open = false;
  }
}
