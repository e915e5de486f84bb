// The boards of a page become questions. What was answered at the first look stays in the browser.
import { Answers } from "./answers.js";
import { Board } from "./board.js";

const place = document.querySelector(".museum-score");
// "gae:3f2a9c,77aa01 dqn:..." -> assignment -> names of its boards.
const listed = Object.fromEntries(
  place.dataset.boards.split(" ").map((entry) => {
    const [name, boards] = entry.split(":");
    return [name, boards ? boards.split(",") : []];
  }),
);
const answers = new Answers();

function showScore() {
  const all = Object.values(listed).flat();
  const { right, seen } = answers.count(all);
  const words = seen
    ? `You have named ${right} of ${all.length} mistakes at the first look, and answered ${seen}.`
    : `None of the ${all.length} boards is answered yet.`;
  place.textContent = `${words} `;
  for (const node of document.querySelectorAll("[data-part]")) {
    const part = listed[node.dataset.part];
    node.textContent = `, ${answers.count(part).right} named`;
  }
  place.append(again(all));
}

function again(all) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Begin again";
  button.addEventListener("click", () => {
    answers.forget(all);
    for (const board of boards.values()) board.clear();
    history.replaceState(null, "", location.pathname + location.search);
    showScore();
    place.querySelector("button").focus();
  });
  return button;
}

const boards = new Map(
  [...document.querySelectorAll(".board")].map((node) => {
    const board = new Board(node, answers, showScore);
    return [board.name, board];
  }),
);

// "#board-3f2a9c:B" shows what B says of this board, and counts for nothing.
function restore() {
  const [, name, letter] = /^#board-(\w+):([A-D])$/.exec(location.hash) ?? [];
  const board = boards.get(name);
  if (!board) return;
  board.show("ABCD".indexOf(letter));
  // While it loads, the page still goes to where its own rules say.
  const go = () => board.node.scrollIntoView({ block: "start", behavior: "instant" });
  if (document.readyState === "complete") go();
  else window.addEventListener("load", go, { once: true });
}

showScore();
restore();
window.addEventListener("hashchange", restore);
