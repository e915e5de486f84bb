// The Bradley-Terry model of solutions/bradley_terry: bt_prob, bt_loss, log_likelihood,
// is_connected, bt_gradient_hessian, fit_bt_newton, standard_errors.

const sum = (numbers) => numbers.reduce((total, one) => total + one, 0);
const dot = (a, b) => a.reduce((total, one, i) => total + one * b[i], 0);
const TOLERANCE = 1e-11;

export function probability(ri, rj) {
  const x = ri - rj;
  return x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x));
}

// -log sigmoid(x), without overflow.
const cost = (x) => Math.log1p(Math.exp(-Math.abs(x))) + Math.max(0, -x);

// What one choice costs, and the derivative in the score of the chosen one.
export function pairLoss(chosen, rejected, margin, smoothing) {
  const gap = chosen - rejected - margin;
  return {
    loss: (1 - smoothing) * cost(gap) + smoothing * cost(-gap),
    gradient: -(1 - smoothing) * probability(0, gap) + smoothing * probability(gap, 0),
  };
}

export function logLikelihood(wins, theta) {
  return -sum(wins.map((row, i) => sum(row.map((n, j) => n * cost(theta[i] - theta[j])))));
}

// Whether arrows from winners to losers lead from everybody to everybody.
export function isConnected(wins) {
  const reaches = wins.map((row, i) => row.map((n, j) => n > 0 || i === j));
  for (const k of wins.keys())
    for (const row of reaches)
      if (row[k]) reaches[k].forEach((there, j) => (row[j] ||= there));
  return reaches.every((row) => row.every(Boolean));
}

export function derivatives(wins, theta) {
  const n = theta.length;
  const games = wins.map((row, i) => row.map((one, j) => one + wins[j][i]));
  const p = theta.map((one) => theta.map((other) => probability(one, other)));
  const gradient = wins.map((row, i) => sum(row) - dot(games[i], p[i]));
  const hessian = games.map((row, i) => row.map((N, j) => (i === j ? 0 : N * p[i][j] * p[j][i])));
  for (let i = 0; i < n; i++) hessian[i][i] = -sum(hessian[i]);
  return { gradient, hessian };
}

// The pseudo-inverse of minus the Hessian of a connected table, which is singular along (1, ..., 1)
// and nowhere else.
function covariance(hessian) {
  const n = hessian.length;
  const inverse = inverted(hessian.map((row) => row.map((one) => 1 / n - one)));
  return inverse.map((row) => row.map((one) => one - 1 / n));
}

function inverted(matrix) {
  const n = matrix.length;
  const rows = matrix.map((row, i) => [...row, ...row.map((_, j) => (i === j ? 1 : 0))]);
  for (let i = 0; i < n; i++) {
    let pivot = i;
    for (let j = i + 1; j < n; j++)
      if (Math.abs(rows[j][i]) > Math.abs(rows[pivot][i])) pivot = j;
    [rows[i], rows[pivot]] = [rows[pivot], rows[i]];
    const scale = rows[i][i];
    rows[i] = rows[i].map((one) => one / scale);
    for (let j = 0; j < n; j++) {
      const factor = rows[j][i];
      if (j !== i) rows[j] = rows[j].map((one, k) => one - factor * rows[i][k]);
    }
  }
  return rows.map((row) => row.slice(n));
}

// The scores that explain a connected table best, with mean 0: Newton's method.
export function fit(wins) {
  let theta = wins.map(() => 0);
  for (let round = 0; round < 200; round++) {
    const { gradient, hessian } = derivatives(wins, theta);
    if (Math.max(...gradient.map(Math.abs)) <= TOLERANCE) break;
    let step = covariance(hessian).map((row) => dot(row, gradient));
    const moved = () => theta.map((one, i) => one + step[i]);
    const start = logLikelihood(wins, theta);
    for (let half = 0; half < 50; half++) {
      if (logLikelihood(wins, moved()) >= start - 1e-9 * Math.abs(start)) break;
      step = step.map((one) => one / 2);
    }
    const middle = sum(moved()) / theta.length;
    theta = moved().map((one) => one - middle);
  }
  return theta;
}

// Standard errors of the scores in the gauge of mean 0, and of each difference of two.
export function errors(wins, theta) {
  const found = covariance(derivatives(wins, theta).hessian);
  const variance = (i, j) => found[i][i] + found[j][j] - 2 * found[i][j];
  return {
    scores: found.map((row, i) => Math.sqrt(row[i])),
    gaps: found.map((row, i) => row.map((_, j) => (i === j ? 0 : Math.sqrt(variance(i, j))))),
  };
}
