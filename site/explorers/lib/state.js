// A state of an explorer as text: "A=-1&r=3.2". A link carries it, and so does a handout's element.
//
// A field is {min, max, step, start}, with {length} a list of such numbers, or {options, start}, or
// {letters, length, start}, a word of so many of these letters.

// The nearest number that the field allows. Steps are decimal, so the result is rounded as text.
export function snap(field, value) {
  const steps = Math.round((value - field.min) / field.step);
  const digits = Math.max(decimals(field.step), decimals(field.min));
  const near = Number((field.min + steps * field.step).toFixed(digits));
  return Math.min(field.max, Math.max(field.min, near));
}

export function decimals(step) {
  return (String(step).split(".")[1] ?? "").length;
}

function parse(field, text) {
  if (field.options) return field.options.includes(text) ? text : undefined;
  if (field.letters) {
    const right =
      text.length === field.length && [...text].every((one) => field.letters.includes(one));
    return right ? text : undefined;
  }
  const numbers = text.split(",").map((word) => (word.trim() === "" ? NaN : Number(word)));
  if (!numbers.every(Number.isFinite)) return undefined;
  if (field.length === undefined) return numbers.length === 1 ? snap(field, numbers[0]) : undefined;
  return numbers.length === field.length ? numbers.map((one) => snap(field, one)) : undefined;
}

// What a text says of the fields. What it does not say, or says wrongly, is left out. HTML writes
// the names of attributes in small letters.
export function read(fields, entries) {
  const state = {};
  for (const [word, text] of entries) {
    const name = Object.keys(fields).find((one) => one.toLowerCase() === word.toLowerCase());
    const value = name === undefined ? undefined : parse(fields[name], text);
    if (value !== undefined) state[name] = value;
  }
  return state;
}

export function starts(fields) {
  return structuredClone(Object.fromEntries(Object.entries(fields).map(([n, f]) => [n, f.start])));
}

export function write(fields, state) {
  return Object.keys(fields)
    .map((name) => `${name}=${state[name]}`)
    .join("&");
}

// "#clip:A=-1&r=3.2" -> its entries, if it speaks to the explorer of this name.
export function entries(hash, name) {
  const start = `#${name}:`;
  return hash.startsWith(start) ? new URLSearchParams(hash.slice(start.length)) : [];
}
