// Random numbers from a seed, so that a link shows the same draw again.
export function generator(seed) {
  let state = Math.imul(seed + 1, 0x9e3779b9) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

// n draws from a categorical distribution, as indices.
export function draws(probabilities, n, seed) {
  const next = generator(seed);
  return Array.from({ length: n }, () => {
    let left = next();
    const found = probabilities.findIndex((one) => (left -= one) < 0);
    return found < 0 ? probabilities.length - 1 : found;
  });
}

// n standard normal numbers, by Box and Muller.
export function normals(n, next) {
  return Array.from({ length: n }, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - next()));
    return radius * Math.cos(2 * Math.PI * next());
  });
}
