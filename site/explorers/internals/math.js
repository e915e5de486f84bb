// DQN's targets and its loss: functions of solutions/dqn/dqn.py, for one transition.
const best = (values) => values.indexOf(Math.max(...values));

export function dqnTarget(reward, nextTarget, terminated, gamma) {
  return terminated ? reward : reward + gamma * Math.max(...nextTarget);
}

export function doubleTarget(reward, nextOnline, nextTarget, terminated, gamma) {
  return terminated ? reward : reward + gamma * nextTarget[best(nextOnline)];
}

export function huber(error) {
  const size = Math.abs(error);
  return size <= 1 ? (size * size) / 2 : size - 0.5;
}

// By how much the second action is better, state by state.
export function advantages(first, second) {
  return first.map((one, i) => second[i] - one);
}

// How hard the loss pulls: its slope.
export function pull(error) {
  return Math.min(1, Math.max(-1, error));
}
