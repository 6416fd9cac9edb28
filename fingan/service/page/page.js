// The page itself: who may enter, which model is shown, and what its buttons do.

let chosen = null; // {reference, model, marginals}
let listed = [];
let turn = 0; // of the last choice: a slow answer to an earlier one is dropped

/** Ask for the models; without a token first, since a service on loopback may want none. */
async function enter() {
  const { models } = await askJson("v1/models");
  listed = models;
  at("entrance").hidden = true;
  at("models").hidden = false;
  at("forget").hidden = token === null;
  listModels();
  return models.length
    ? `${many(models.length, "model")}.`
    : "There is no model here yet: fingan train publishes one.";
}

/** Show the form for the token, with a reason where there is one. */
function lockOut(problem) {
  for (const id of ["models", "model", "draw", "sample", "download"]) at(id).hidden = true;
  at("entrance").hidden = false;
  complain("entrance-alert", problem);
  at("token").focus();
}

async function submitToken(event) {
  event.preventDefault();
  const button = event.submitter ?? event.target.querySelector("button");
  remember(at("token").value.trim(), at("keep").checked);
  at("token").value = "";
  button.disabled = true;
  complain("entrance-alert", null);
  try {
    at("models-status").textContent = await enter();
    at("h-models").closest("section").querySelector("ul button")?.focus();
  } catch (error) {
    remember(null, false);
    lockOut(error);
  } finally {
    button.disabled = false;
  }
}

function forget() {
  remember(null, false);
  chosen = null;
  turn += 1;
  at("model-list").replaceChildren();
  lockOut(null);
}

async function refresh() {
  await busy("models", [at("refresh")], "Looking …", () => guarded(enter));
}

function listModels() {
  at("model-list").replaceChildren(...listed.map((model) => el("li", {}, modelButton(model))));
}

function modelButton(model) {
  const aliases = Object.entries(model.aliases ?? {}).map(([name, version]) => `${name} → ${version}`);
  const unreadable = Object.keys(model.unreadable ?? {}).map((name) => `${name} cannot be read`);
  const about = [
    many((model.versions ?? []).length, "version"),
    ...aliases,
    ...unreadable,
    model.kind,
    model.created && minute(model.created).slice(0, 10),
  ];
  const sound = !model.problem;
  const state = el("span", { class: `badge ${sound ? "good" : "poor"}` }, sound ? "ready" : model.problem);
  const current = chosen?.model.name === model.name;
  return el(
    "button",
    {
      type: "button",
      class: "model",
      "aria-pressed": current ? "true" : "false",
      on: { click: () => choose(model.name) },
    },
    el("b", {}, model.name),
    el("span", { class: "about" }, ...about.filter(Boolean).map((text) => el("span", {}, text))),
    state,
  );
}

/** Show a model; `reference` is a name, or a name with a version or alias. */
async function choose(reference) {
  const own = (turn += 1);
  for (const id of ["draw", "sample", "download"]) at(id).hidden = true;
  at("model").hidden = false;
  at("version-field").hidden = true;
  at("h-model").textContent = reference;
  chosen = null;
  at("report").replaceChildren();
  await busy("model", [], "Loading the model; the first time takes some seconds …", async () => {
    const [model, card, marginals] = await guarded(() => fetched(reference));
    if (own !== turn) return;
    // The version is named from here on: an alias may move between two requests.
    chosen = { reference: `${model.name}:${model.version}`, model, marginals };
    showModel(card);
  });
  if (own === turn && !at("model").hidden) at("h-model").focus();
}

/** Ask for all that is shown of a model. */
function fetched(reference) {
  return Promise.all([
    askJson(modelPath(reference)),
    ask(modelPath(reference, "/card"), { accept: "text/markdown" }).then((answer) => answer.text()),
    askJson(modelPath(reference, "/marginals")),
  ]);
}

function showModel(card) {
  const { model, reference } = chosen;
  at("h-model").textContent = reference;
  report(model, card);
  if (model.problem) complain("model-alert", new Error(sentence(model.problem)));
  const versions = listed.find(({ name }) => name === model.name)?.versions ?? [model.version];
  const options = [...versions]
    .reverse()
    .map((v) => el("option", { value: v, selected: v === model.version }, `${v}`));
  at("version").replaceChildren(...options);
  at("version-field").hidden = false;
  listModels();
  resetConditions(model);
  resetColumns(model);
  at("candidates").placeholder = String(model.candidates ?? "");
  at("candidates").value = "";
  at("candidates-hint").textContent =
    "More candidates give better rows and take more time; " +
    `this model uses ${count(model.candidates ?? 1)} unless told otherwise.`;
  at("rows").max = Math.min(MOST_SHOWN, model.limits?.json_rows ?? MOST_SHOWN);
  for (const id of ["draw", "download"]) at(id).hidden = false;
  changed();
}

/** Follow the form: limits and commands show what it asks for. */
function changed() {
  if (chosen === null) return;
  downloadLimits(chosen.model);
  showCommands(chosen.reference, chosen.model.limits?.rows);
}

/** A token that is no longer good leads back to the entrance. */
async function guarded(work) {
  try {
    return await work();
  } catch (error) {
    if (error.status === 401) {
      remember(null, false);
      lockOut(error);
    }
    throw error;
  }
}

function listen() {
  at("token-form").addEventListener("submit", submitToken);
  at("forget").addEventListener("click", forget);
  at("refresh").addEventListener("click", refresh);
  at("version").addEventListener("change", () => choose(`${chosen.model.name}:${at("version").value}`));
  at("add-condition").addEventListener("click", () => {
    const column = chosen.model.columns.find(({ name }) => name === at("condition-column").value);
    addCondition(
      column,
      chosen.marginals.columns.find(({ name }) => name === column.name),
    );
  });
  at("all-columns").addEventListener("click", () => tickColumns(true));
  at("no-columns").addEventListener("click", () => tickColumns(false));
  at("columns").addEventListener("change", countColumns);
  at("sample-form").addEventListener("submit", (event) => {
    event.preventDefault();
    busy("draw", [at("draw-button")], "Drawing …", () =>
      guarded(() => drawSample(chosen.reference, chosen.marginals)),
    );
  });
  for (const form of ["sample-form", "download-form"]) {
    at(form).addEventListener("input", changed);
    at(form).addEventListener("change", changed);
  }
  at("download-form").addEventListener("submit", (event) => event.preventDefault());
  for (const button of formButtons()) {
    button.addEventListener("click", () => saveAs(button.dataset.form));
  }
  at("cancel").addEventListener("click", () => leaving?.abort());
}

async function saveAs(form) {
  await busy("download", formButtons(), "Drawing …", () => guarded(() => download(chosen.reference, form)));
  downloadLimits(chosen.model);
}

recall();
listen();
enter().then(
  (words) => (at("models-status").textContent = words),
  (error) => {
    // Nobody has given a token yet: that is no error to complain about.
    const expected = error.status === 401 && token === null;
    remember(null, false);
    lockOut(expected ? null : error);
  },
);
