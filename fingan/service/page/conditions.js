// The form of conditions: a field that fits each column, and what it asks for.

const ANOTHER = "another value …";
let conditions = new Map(); // column name → () => value
let conditionNumber = 0;

/** Begin anew for a model. */
function resetConditions(model) {
  conditions = new Map();
  at("conditions").replaceChildren();
  const free = model.columns.filter((column) => column.conditionable);
  at("condition-column").replaceChildren(
    ...free.map((column) => el("option", { value: column.name }, shorten(column.name, 60))),
  );
  at("add-condition").disabled = !free.length;
}

/** Add the field of a column, and put the cursor there. */
function addCondition(column, told) {
  if (conditions.has(column.name)) {
    at("conditions")
      .querySelector(`[data-number="${conditions.get(column.name).number}"] :is(select, input)`)
      .focus();
    return;
  }
  const number = (conditionNumber += 1);
  const id = `condition-${number}`;
  const { nodes, read } = field(column, told, id);
  const missing = column.nullable ? el("input", { type: "checkbox", id: `${id}-missing` }) : null;
  const fields = nodes.filter((node) => node.matches("select, input"));
  missing?.addEventListener("change", () => fields.forEach((node) => (node.disabled = missing.checked)));
  const remove = () => {
    conditions.delete(column.name);
    row.remove();
    at("condition-column").focus();
    changed();
  };
  const row = el(
    "div",
    { class: "condition", "data-number": number },
    el("div", { class: "field wide-field" }, el("label", { for: id }, column.name), ...nodes),
    missing && el("div", { class: "check" }, missing, el("label", { for: missing.id }, "missing")),
    el(
      "button",
      { type: "button", "aria-label": `Remove the condition on ${column.name}`, on: { click: remove } },
      "Remove",
    ),
  );
  conditions.set(column.name, { number, read: () => (missing?.checked ? null : read()) });
  at("conditions").append(row);
  fields[0].focus();
  changed();
}

/** Return the field of a column and what reads it. */
function field(column, told, id) {
  if (column.kind === "boolean") return choice(["true", "false"], false, column, id);
  if (told?.kind === "category") return choice(told.values, told.other > 0, column, id);
  const kinds = { date: ["date", {}], timestamp: ["datetime-local", { step: 1 }] };
  const numeric = ["number", "integer", "decimal"].includes(column.kind);
  const [type, more] = kinds[column.kind] ?? (numeric ? ["number", { step: "any" }] : ["text", {}]);
  const input = el("input", { id, type, autocomplete: "off", ...more });
  const nodes = [input];
  if (told?.edges?.length) {
    input.setAttribute("aria-describedby", `${id}-hint`);
    const [from, to] = [edgeName(told, 0, 1), edgeName(told, told.edges.length - 1, -1)];
    const zone = /tz=([^\]]+)/.exec(column.type)?.[1];
    const clock = zone ? `; give it as clocks in ${zone} show it` : "";
    const hint = `nearly all from ${minute(from)} to ${minute(to)}${clock}`;
    nodes.push(el("small", { id: `${id}-hint` }, hint));
  }
  const read = () => given(column, input, input.value.trim());
  return { nodes, read };
}

/** A list of the values seen, and a field for those that are not on it. */
function choice(values, more, column, id) {
  const options = values.map((value, i) =>
    el("option", { value: i }, value === "" ? "(empty)" : shorten(value, 80)),
  );
  if (more) options.push(el("option", { value: -1 }, ANOTHER));
  const select = el("select", { id }, ...options);
  const input = el("input", {
    type: "text",
    hidden: true,
    autocomplete: "off",
    "aria-label": `Another value of ${column.name}`,
  });
  select.addEventListener("change", () => (input.hidden = select.value !== "-1"));
  const read = () =>
    select.value === "-1" ? input.value : given(column, select, values[Number(select.value)]);
  return { nodes: more ? [select, input] : [select], read };
}

/** Return a value as JSON has it: numbers as such where nothing is lost, all else as text. */
function given(column, node, text) {
  if (text === undefined || (text === "" && column.kind !== "category")) {
    throw new Problem(0, `Give a value for ${column.name}, or remove its condition.`, node);
  }
  if (column.kind === "boolean") return text === "true";
  const number = Number(text);
  return ["number", "integer"].includes(column.kind) && String(number) === text ? number : text;
}

/** Return the conditions as the service takes them. */
const where = () => Object.fromEntries([...conditions].map(([name, { read }]) => [name, read()]));

/** Return a whole number of a field within its limits. */
function whole(id, words) {
  const input = at(id);
  const value = Number(input.value);
  const [low, high] = [Number(input.min), Number(input.max || Number.MAX_SAFE_INTEGER)];
  const fine = input.value.trim() !== "" && Number.isInteger(value) && value >= low && value <= high;
  if (fine) return value;
  const limit = input.max ? `from ${count(low)} to ${count(high)}` : `of at least ${count(low)}`;
  throw new Problem(0, `${words}: give a whole number ${limit}.`, input);
}
