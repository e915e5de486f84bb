// Every exported function of every explorer's math.js gives the numbers of the Python reference.
// GOLDEN names the folder that golden.py has filled.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const names = readdirSync(here).filter((name) => existsSync(join(here, name, "index.js")));
const TOLERANCE = 1e-12;

function same(actual, expected, place) {
  if (typeof expected === "number") {
    const gap = Math.abs(actual - expected);
    assert.ok(
      gap <= TOLERANCE * Math.max(1, Math.abs(expected)),
      `${place}: ${actual}, not ${expected}`,
    );
  } else if (expected !== null && typeof expected === "object") {
    assert.deepEqual(Object.keys(actual), Object.keys(expected).sort(byOrderOf(actual)), place);
    for (const key of Object.keys(expected)) same(actual[key], expected[key], `${place}.${key}`);
  } else {
    assert.equal(actual, expected, place);
  }
}

function byOrderOf(object) {
  const order = Object.keys(object);
  return (a, b) => order.indexOf(a) - order.indexOf(b);
}

test("there are explorers", () => assert.ok(names.length > 0));

for (const name of names) {
  const math = await import(join(here, name, "math.js"));
  const golden = JSON.parse(readFileSync(join(process.env.GOLDEN, `${name}.json`), "utf8"));
  for (const [key, run] of Object.entries(math)) {
    test(`${name}: ${key}`, () => {
      assert.ok(golden[key]?.length >= 20, `golden.py has too few numbers of ${name}.${key}`);
      for (const { args, result } of golden[key]) same(run(...args), result, key);
    });
  }
}
