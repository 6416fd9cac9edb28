// What is known of a model: figures of its training and validation, its columns, its card.

/** Figures with a card of their own: the question, its name, how it is printed, and where chance lies. */
const FIGURES = {
  pair_error: {
    question: "Do the columns belong together?",
    name: "Pair error: mean total variation of the tables of all pairs of columns; 0 is perfect up to chance",
    print: (value) => percent(value),
  },
  detection_auc: {
    question: "Can a classifier tell?",
    name: "Detection AUC: how well trees tell generated rows from real ones; .5 is a coin toss",
    print: (value) => value.toFixed(3),
    axis: [0.5, 1],
    ideal: 0.5,
    verdicts: [0.08, 0.25, "hard to tell from real", "some tells", "told from real"],
  },
  memorisation: {
    question: "Does it copy?",
    name: "Rows nearer to training rows than to as many unseen ones; .5 is ideal",
    print: (value) => value.toFixed(3),
    axis: [0.4, 0.8],
    ideal: 0.5,
    verdicts: [0.03, 0.06, "no sign of copying", "slight sign of copying", "copies rows"],
  },
  score: {
    question: "How good is it in all?",
    name: "Validation score: pair error + 2 · (AUC − .5); lower is better, among models of one table",
    print: (value) => value.toFixed(3),
  },
};

const FACTS = {
  rows: ["Training rows", count],
  steps: ["Steps", count],
  best_step: ["Best step", count],
  seconds: ["Time to train", (value) => `${brief(value)} s`],
  rows_per_second: ["Rows per second", (value) => count(value)],
  rollbacks: ["Rolled back", (value) => `${many(value, "time")}`],
  stopped_by: ["Stopped by", String],
  score: ["Best score in training", (value) => value.toFixed(3)],
};

/** Show all that is known of a version. */
function report(model, card) {
  const metrics = model.metrics ?? {};
  const shown = [
    facts([
      ...(model.aliases?.length ? [["Also called", model.aliases.join(", ")]] : []),
      ["Published", minute(model.created)],
      ["Made with", `fingan ${model.fingan}`],
      ["Content", el("code", { title: model.digest }, String(model.digest).slice(0, 16))],
    ]),
    el("h3", {}, "What was measured"),
    measured(metrics),
    facts(training(metrics)),
    el("h3", { id: "h-schema" }, `Columns (${count(model.columns.length)})`),
    schema(model.columns),
    el("details", {}, el("summary", {}, "Model card"), el("div", { class: "card-text" }, ...markdown(card))),
  ];
  at("report").replaceChildren(...shown.filter((part) => part !== null));
}

function facts(pairs) {
  if (!pairs.length) return null;
  return el(
    "dl",
    { class: "facts" },
    ...pairs.map(([term, told]) => el("div", {}, el("dt", {}, term), el("dd", {}, told))),
  );
}

/** Cards of the figures that were measured on held-out rows. */
function measured(metrics) {
  const known = { ...(metrics.validation ?? {}) };
  known.memorisation ??= metrics.memorisation ?? winner(metrics.search)?.memorisation;
  const cards = Object.keys(FIGURES)
    .filter((name) => typeof known[name] === "number")
    .map((name) => figureCard(name, known[name]));
  if (!cards.length)
    return el("p", { class: "note" }, "No rows were held out in training, so nothing was measured.");
  const note = el(
    "p",
    { class: "note" },
    "On real rows that training did not see. ",
    el("code", {}, "fingan evaluate"),
  );
  note.append(" makes the whole report, with references and intervals.");
  return el("div", {}, el("div", { class: "cards" }, ...cards), note);
}

function figureCard(name, value) {
  const figure = FIGURES[name];
  const [level, words] = verdict(figure, value);
  const parts = [
    el("h4", {}, figure.question),
    el("p", { class: "big" }, figure.print(value)),
    el("p", { class: "name" }, figure.name),
    figure.ideal === undefined ? null : whisker(figure, value),
    level ? el("p", {}, el("span", { class: `badge ${level}` }, words)) : null,
  ];
  return el("div", { class: `card ${level}` }, ...parts);
}

function verdict({ ideal, verdicts }, value) {
  if (!verdicts) return ["", ""];
  const [good, fair, ...words] = verdicts;
  const place = value - ideal <= good ? 0 : value - ideal <= fair ? 1 : 2;
  return [["good", "fair", "poor"][place], words[place]];
}

/** Draw a value as a dot on its axis, the ideal as a tick. */
function whisker({ question, axis: [low, high], ideal }, value) {
  const x = (v) => 5 + ((Math.min(Math.max(v, low), high) - low) / (high - low)) * 140;
  const parts = [
    draw("path", { class: "rail", d: "M5 10H145" }),
    draw("path", { class: "reference", d: `M${x(ideal)} 3V17` }),
    draw("circle", { class: "dot", cx: x(value), cy: 10, r: 4 }),
  ];
  const words = `${question} ${value.toFixed(3)} on an axis from ${low} to ${high}`;
  return draw("svg", { class: "whisker", viewBox: "0 0 150 20", role: "img", "aria-label": words }, ...parts);
}

/** Return the finalist that won a search, if the model comes from one. */
function winner(search) {
  const wanted = JSON.stringify(search?.winner ?? null);
  return (search?.finalists ?? []).find((one) => JSON.stringify(one.params) === wanted);
}

/** Return what is told of the training, and every other figure that is one. */
function training(metrics) {
  const told = Object.entries(metrics.training ?? {});
  const pairs = told
    .filter(([name]) => Object.hasOwn(FACTS, name))
    .map(([name, value]) => [FACTS[name][0], printed(FACTS[name][1], value)]);
  const trials = metrics.search?.trials?.length;
  if (trials) pairs.push(["Settings", `found by a search of ${many(trials, "trial")}`]);
  const rest = [...told, ...Object.entries(metrics.validation ?? {}), ...Object.entries(metrics)];
  const known = { ...FACTS, ...FIGURES };
  const other = rest.filter(([name, value]) => typeof value === "number" && !Object.hasOwn(known, name));
  return [...pairs, ...other.map(([name, value]) => [name, brief(value)])];
}

function printed(print, value) {
  return value === null || value === undefined || (print !== String && typeof value !== "number")
    ? "–"
    : print(value);
}

function schema(columns) {
  const rows = columns.map((c) => [
    c.name,
    c.kind,
    c.type,
    c.nullable ? "yes" : "no",
    c.conditionable ? "yes" : "no",
  ]);
  const table = grid(["Column", "Kind", "Type", "May be missing", "Can be given"], rows, { class: "schema" });
  return el(
    "div",
    { class: "scroll box", role: "region", "aria-labelledby": "h-schema", tabindex: "0" },
    table,
  );
}
