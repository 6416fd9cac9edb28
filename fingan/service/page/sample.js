// A sample to look at: its plots beside the training table, and its first rows.

const MOST_SHOWN = 1000; // rows of a sample to look at
const SHOWN_ROWS = 50;
const SHOWN_PLOTS = 60;

/** Return the body of a request for rows, as the form stands. */
function wanted(rows) {
  const candidates = at("candidates").value.trim() === "" ? null : whole("candidates", "Candidates per row");
  return {
    rows,
    seed: whole("seed", "Seed"),
    offset: 0,
    where: where(),
    columns: chosenColumns(),
    candidates,
  };
}

/** Return the columns that are ticked; null for all of them. */
function chosenColumns() {
  const boxes = [...at("columns").querySelectorAll("input")];
  const ticked = boxes.filter((box) => box.checked).map((box) => box.value);
  if (!ticked.length) throw new Problem(0, "Choose at least one column.");
  return ticked.length === boxes.length ? null : ticked;
}

/** Fill the list of columns. */
function resetColumns(model) {
  const boxes = model.columns.map(({ name }, i) => {
    const box = el("input", { type: "checkbox", id: `column-${i}`, value: name, checked: true });
    return el("div", { class: "check" }, box, el("label", { for: box.id }, name));
  });
  at("columns").replaceChildren(...boxes);
  countColumns();
}

function countColumns() {
  const boxes = [...at("columns").querySelectorAll("input")];
  const ticked = boxes.filter((box) => box.checked).length;
  at("columns-count").textContent =
    ticked === boxes.length ? `all ${count(ticked)}` : `${count(ticked)} of ${count(boxes.length)}`;
}

function tickColumns(checked) {
  for (const box of at("columns").querySelectorAll("input")) box.checked = checked;
  countColumns();
  changed();
}

/** Draw a sample and show it; returns what to tell of it. */
async function drawSample(reference, marginals) {
  const body = wanted(whole("rows", "Rows to look at"));
  const path = modelPath(reference, "/samples?format=json");
  const answer = await ask(path, { body });
  const { columns, rows } = parsed(await answer.text());
  const facts = ["X-Model", "X-Seed", "X-Candidates"].map((name) => answer.headers.get(name));
  const conditional = Object.keys(body.where).length > 0;
  showNote(rows.length, facts, conditional);
  showPlots(columns, rows, marginals);
  showRows(columns, rows);
  at("sample").hidden = false;
  return `${many(rows.length, "row")} drawn; the plots and rows are below.`;
}

function showNote(rows, [model, seed, candidates], conditional) {
  const how = [`${many(rows, "row")} of ${model ?? "the model"}`, `seed ${seed ?? "–"}`];
  if (candidates !== null)
    how.push(candidates === "1" ? "taken as they come" : `each the choice of ${candidates}`);
  const text = conditional
    ? `${how.join(", ")}. The rows keep your conditions, so they need not follow the whole training table.`
    : `${how.join(", ")}.`;
  at("sample-note").textContent = text;
}

/** Draw the first plots, and the others when they are asked for: a table may have thousands of columns. */
function showPlots(columns, rows, marginals) {
  const told = new Map(marginals.columns.map((column) => [column.name, column]));
  const known = columns.filter((name) => told.has(name));
  const make = (name) =>
    plot(
      told.get(name),
      rows.map((row) => row[name] ?? null),
    );
  at("plots").replaceChildren(...known.slice(0, SHOWN_PLOTS).map(make));
  const rest = known.slice(SHOWN_PLOTS);
  const all = el("button", { type: "button" }, `Show the other ${many(rest.length, "column")}`);
  all.addEventListener("click", () => {
    at("plots").append(...rest.map(make));
    all.remove();
  });
  at("more-plots").replaceChildren(...(rest.length ? [all] : []));
}

function showRows(columns, rows) {
  const first = rows.slice(0, SHOWN_ROWS);
  const right = columns.flatMap((name, i) =>
    first.some((row) => typeof row[name] === "number") ? [i + 1] : [],
  );
  const cell = (value) => (value === null || value === undefined ? el("i", {}, "missing") : String(value));
  const body = first.map((row, i) => [String(i), ...columns.map((name) => cell(row[name]))]);
  at("rows-table").replaceChildren(
    grid(["Row", ...columns], body, { class: "rows", numeric: [0, ...right] }),
  );
  at("rows-note").textContent =
    rows.length > first.length ? `The first ${first.length} of ${count(rows.length)}.` : "";
}
