// A formula with live terms: hover, touch or focus a term, and read what it means, its number now,
// where the starter asks for it, and the public test that pins it.

export class LiveFormula {
  // html: the formula with data-term attributes. terms: name -> {label, says, number, where, test}.
  constructor(parent, html, terms) {
    this.terms = terms;
    this.root = document.createElement("div");
    this.root.className = "rl-formula";
    const chips = Object.entries(terms).map(
      ([name, term]) =>
        `<button type="button" aria-pressed="false" data-chip="${name}">${term.label}</button>`,
    );
    this.root.innerHTML = `<div class="rl-tex" aria-hidden="true">${html}</div>
      <div class="rl-chips" role="group" aria-label="Terms of the formula">${chips.join("")}</div>
      <p class="rl-term"></p>`;
    parent.append(this.root);
    for (const kind of ["pointerover", "focusin", "click"]) {
      this.root.addEventListener(kind, (event) => this.#touch(event.target));
    }
    this.choose(Object.keys(terms)[0]);
  }

  #touch(target) {
    const at = target.closest("[data-term], [data-chip]");
    if (at) this.choose(at.dataset.term ?? at.dataset.chip);
  }

  choose(name) {
    this.chosen = name;
    for (const node of this.root.querySelectorAll("[data-term]")) {
      node.classList.toggle("chosen", node.dataset.term === name);
    }
    for (const node of this.root.querySelectorAll("[data-chip]")) {
      node.setAttribute("aria-pressed", node.dataset.chip === name);
    }
    this.update(this.numbers ?? {});
  }

  // numbers: term -> its number now, in words.
  update(numbers) {
    this.numbers = numbers;
    const term = this.terms[this.chosen];
    const now = numbers[this.chosen] === undefined ? "" : ` Now: <b>${numbers[this.chosen]}</b>.`;
    this.root.querySelector(".rl-term").innerHTML =
      `${term.says}${now} <span class="rl-where">${term.file}, line ${term.line}: ` +
      `<code>${term.where}</code>. Pinned by <code>${term.test}</code>.</span>`;
  }
}
