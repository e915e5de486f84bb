// What a results.json says, with the course's own data beside it. No page is touched here.

const NAMED = /These are the numbers one gets when (.+)/;

// text -> {name, tests: [{part, status, output}], points, worth}. Throws an Error with a sentence.
export function read(text, course) {
  let data;
  try {
    data = JSON.parse(text);
  } catch {
    throw new Error("this is not JSON: choose the file results.json itself.");
  }
  const tests = Array.isArray(data?.tests) ? data.tests : [];
  const name = data?.extra_data?.provenance?.assignment;
  if (tests.length === 0 && !name) throw new Error("there are no results of this course in it.");
  if (!(name in course)) throw new Error(`it is of an assignment that is not here: ${name}.`);
  return {
    name,
    points: typeof data.score === "number" ? data.score : null,
    worth: data.extra_data.max_score ?? null,
    tests: tests.map((test) => ({
      part: String(test.tags?.[0] ?? ""),
      verdict: String(test.extra_data?.verdict ?? test.status ?? ""),
      output: String(test.output ?? ""),
    })),
  };
}

// Part -> {title, link, passed, of}, in the order of the handout.
export function parts(result, course) {
  return Object.entries(course[result.name].parts).map(([part, [title, link]]) => {
    const mine = result.tests.filter((test) => test.part === part);
    const passed = mine.filter((test) => test.verdict === "passed").length;
    const unwritten = mine.filter((test) => test.verdict === "not_written").length;
    return { title, link, passed, unwritten, of: mine.length };
  });
}

// The sentences of the mistakes that were recognised, each once, with a board if there is one.
export function mistakes(result, course) {
  const boards = course[result.name].mistakes;
  const found = new Map();
  for (const { output } of result.tests) {
    const named = NAMED.exec(output)?.[1];
    if (named) found.set(named, boards[named] ?? "");
    for (const [when, board] of Object.entries(boards)) {
      if (output.includes(when)) found.set(when, board);
    }
  }
  return [...found].map(([when, board]) => ({ when, board }));
}

// What to read next: the sections of parts that are begun and not done, else what follows.
export function next(result, course) {
  const open = parts(result, course).filter((part) => part.passed < part.of);
  if (open.length > 0) return open.map(({ title, link }) => ({ title, link }));
  return course[result.name].next.map((name) => ({
    title: course[name].title,
    link: course[name].handout,
  }));
}
