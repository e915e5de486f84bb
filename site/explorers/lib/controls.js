// Native controls with a label.

// A slider for a parameter. Returns what shows a value on it.
export function slider(parent, label, field, set) {
  const place = document.createElement("label");
  place.innerHTML = `${label} <input type="range" min="${field.min}" max="${field.max}"
    step="${field.step}"> <output></output>`;
  parent.append(place);
  const [input, output] = [place.querySelector("input"), place.querySelector("output")];
  input.addEventListener("input", () => set(Number(input.value)));
  return (value, words) => {
    input.value = value;
    output.textContent = words;
  };
}

// A choice between the field's options.
export function choice(parent, label, field, set) {
  const place = document.createElement("label");
  const options = field.options.map((one) => `<option>${one}</option>`).join("");
  place.innerHTML = `${label} <select>${options}</select>`;
  parent.append(place);
  const select = place.querySelector("select");
  select.addEventListener("change", () => set(select.value));
  return (value) => {
    select.value = value;
  };
}

export function checkbox(parent, label, set) {
  const place = document.createElement("label");
  place.innerHTML = `<input type="checkbox"> ${label}`;
  parent.append(place);
  const [box] = place.children;
  box.addEventListener("change", () => set(box.checked));
  return (on) => {
    box.checked = on;
  };
}

export function button(parent, label, press) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = label;
  made.addEventListener("click", press);
  parent.append(made);
  return made;
}

// A row for the controls of an explorer.
export function controls(parent) {
  const row = document.createElement("p");
  row.className = "rl-controls";
  parent.append(row);
  return row;
}

// A place for a table. It scrolls where the page is narrow, so it must be reachable by keyboard.
export function tablePlace(parent, label) {
  const place = document.createElement("div");
  place.className = "rl-table";
  place.tabIndex = 0;
  place.setAttribute("role", "region");
  place.setAttribute("aria-label", label);
  parent.append(place);
  return place;
}

// A table as HTML: headings, and rows {head, cells} whose cells are words or bring their own <td>.
export function table(heads, rows) {
  const cell = (one) => (String(one).startsWith("<td") ? one : `<td>${one}</td>`);
  const top = heads.map((one) => (one === "" ? "<td></td>" : `<th scope="col">${one}</th>`));
  const lines = rows.map(
    ({ head, cells }) => `<tr><th scope="row">${head}</th>${cells.map(cell).join("")}</tr>`,
  );
  return `<table><thead><tr>${top.join("")}</tr></thead><tbody>${lines.join("")}</tbody></table>`;
}
