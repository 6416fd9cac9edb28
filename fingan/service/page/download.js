// Rows as a file: gathered in the page's memory up to a million, by a command of one's own beyond.

const IN_MEMORY = 1_000_000;
const FORMS = { csv: "csv", parquet: "parquet", arrow: "arrows" }; // format → suffix
let leaving = null;

/** Return how many rows the page fetches of a model. */
const mostRows = (model) => Math.min(IN_MEMORY, model.limits?.rows ?? IN_MEMORY);

/** Say how many rows the page takes, and offer the commands beyond. */
function downloadLimits(model) {
  const most = mostRows(model);
  const beyond = Number(at("download-rows").value) > most;
  for (const button of formButtons()) button.disabled = beyond;
  const reason = most < IN_MEMORY ? "the service gives at a time" : "a page’s memory should hold";
  at("download-note").textContent = beyond
    ? `More than the ${count(most)} rows that ${reason}: use a command below.`
    : `Up to ${count(most)} rows are gathered in this page’s memory, then saved.`;
  if (beyond) at("commands").open = true;
}

const formButtons = () => [...at("download-form").querySelectorAll("[data-form]")];

/** Fetch rows and hand them to the browser as a file; returns what to tell of it. */
async function download(reference, form) {
  const rows = whole("download-rows", "Rows to download");
  const body = wanted(rows);
  leaving = new AbortController();
  at("cancel").hidden = false;
  try {
    const answer = await ask(modelPath(reference, `/samples?format=${form}`), {
      body,
      accept: "*/*",
      signal: leaving.signal,
    });
    const blob = await gather(answer);
    const name = `${reference.replaceAll(/[^\w.-]/g, "-")}-seed${body.seed}.${FORMS[form]}`;
    save(blob, name);
    return `${many(rows, "row")}, ${bytes(blob.size)}, saved as ${name}.`;
  } finally {
    at("cancel").hidden = true;
    leaving = null;
  }
}

/** Read an answer to its end and tell how far it is. */
async function gather(answer) {
  const reader = answer.body.getReader();
  const parts = [];
  let size = 0;
  let told = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return new Blob(parts, { type: answer.headers.get("Content-Type") ?? "" });
      parts.push(value);
      size += value.length;
      // A status that changes too often cannot be listened to.
      if (Date.now() - told > 1000) {
        at("download-status").textContent = `${bytes(size)} so far …`;
        told = Date.now();
      }
    }
  } catch (error) {
    if (error.name === "AbortError") throw new Problem(0, "Cancelled.");
    throw new Problem(0, `The answer broke off after ${bytes(size)}; nothing was saved. Try again.`);
  }
}

function save(blob, name) {
  const link = el("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Show the commands that ask for the same rows. */
function showCommands(reference, limit) {
  let body;
  try {
    body = wanted(Math.max(1, Math.floor(Number(at("download-rows").value)) || 1));
  } catch {
    return; // The form is not filled in yet.
  }
  const lean = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null));
  delete lean.offset;
  const file = `${reference.replaceAll(/[^\w.-]/g, "-")}.parquet`;
  at("shell").textContent = inShell(reference, lean, file, limit ?? Infinity);
  at("python").textContent = inPython(reference, lean, file);
}

function inShell(reference, body, file, limit) {
  if (body.rows > limit) return `# The service gives ${count(limit)} rows at a time; Python asks for parts.`;
  return [
    `curl --fail-with-body -o ${file} \\`,
    '  -H "Authorization: Bearer $FINGAN_TOKEN" -H "Content-Type: application/json" \\',
    `  -d ${quoted(JSON.stringify(body))} \\`,
    `  ${quoted(`${address(modelPath(reference, "/samples")).href}?format=parquet`)}`,
  ].join("\n");
}

function inPython(reference, { rows, ...rest }, file) {
  if (!Object.keys(rest.where).length) delete rest.where;
  const more = Object.entries(rest).map(([name, value]) => `, ${name}=${pythonic(value)}`);
  return [
    "import fingan",
    "",
    `client = fingan.Client(${pythonic(address("").href)})  # the token from FINGAN_TOKEN`,
    `client.save(${pythonic(reference)}, ${rows}, ${pythonic(file)}${more.join("")})`,
  ].join("\n");
}

/** Quote a text for a shell. */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** Write a JSON value as Python does. */
function pythonic(value) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(pythonic).join(", ")}]`;
  if (typeof value === "object") {
    return `{${Object.entries(value)
      .map(([name, item]) => `${JSON.stringify(name)}: ${pythonic(item)}`)
      .join(", ")}}`;
  }
  return JSON.stringify(value);
}
