// What an explorer tells the live formulas of its page: term -> its number now, in words. Scripts
// share nothing but the window, and who comes later hears what was said last.
const EVENT = "rl-numbers";

export function tell(explorer, numbers) {
  window.rlNumbers = { ...window.rlNumbers, [explorer]: numbers };
  window.dispatchEvent(new CustomEvent(EVENT, { detail: explorer }));
}

export function listen(explorer, hear) {
  window.addEventListener(EVENT, ({ detail }) => {
    if (detail === explorer) hear(window.rlNumbers[explorer]);
  });
  if (window.rlNumbers?.[explorer]) hear(window.rlNumbers[explorer]);
}
