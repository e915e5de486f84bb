// Recorded runs hold whole numbers as two digits to the base of 36 each.
export function unpacked(text) {
  return Array.from({ length: text.length / 2 }, (_, i) => parseInt(text.slice(2 * i, 2 * i + 2), 36));
}

// A list, cut into pieces of equal length.
export function rows(numbers, length) {
  return Array.from({ length: numbers.length / length }, (_, i) =>
    numbers.slice(i * length, (i + 1) * length),
  );
}
