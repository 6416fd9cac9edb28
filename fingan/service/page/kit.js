// Elements, words and numbers. Texts of the service only ever become text nodes and attribute values.

const SVG = "http://www.w3.org/2000/svg";

/** Return the element of the document with this id. */
const at = (id) => document.getElementById(id);

/** Set attributes; `on` maps events to listeners, false and null leave an attribute out. */
function dress(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Build an HTML element; children are nodes or texts. */
function el(name, attributes = {}, ...children) {
  return dress(document.createElement(name), attributes, children);
}

/** Build an SVG element. */
function draw(name, attributes = {}, ...children) {
  return dress(document.createElementNS(SVG, name), attributes, children);
}

/** Cut a long label in the middle; its two ends tell columns apart best. */
function shorten(text, length) {
  const letters = [...text];
  if (letters.length <= length) return text;
  const head = Math.floor(((length - 1) * 2) / 3);
  return `${letters.slice(0, head).join("")}…${letters.slice(letters.length - (length - 1 - head)).join("")}`;
}

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 4 });

/** Print a count with separators. */
const count = (number) => WHOLE.format(number);

/** Print `1 row`, `2 rows`. */
const many = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;

/** Print a number in few characters. */
function brief(number) {
  if (number === 0) return "0";
  const size = Math.abs(number);
  if (size >= 1e15 || size < 1e-4) return minus(number.toExponential(2));
  if (size >= 1e6) return minus(COMPACT.format(number));
  const digits = size >= 1000 ? 0 : Math.min(6, 3 - Math.floor(Math.log10(size)));
  return minus(new Intl.NumberFormat("en", { maximumFractionDigits: digits }).format(number));
}

/** Print a number with all the decimals that its lattice has. */
function exact(number, step) {
  const digits = Math.min(6, Math.max(0, Math.ceil(-Math.log10(step) - 1e-9)));
  const plain = Math.abs(number) < 1e12 && step >= 1e-6;
  return plain
    ? minus(new Intl.NumberFormat("en", { maximumFractionDigits: digits }).format(number))
    : brief(number);
}

/** Print a share as per cent. */
const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)}\u00a0%`;

const minus = (text) => text.replace("-", "−");

/** Print bytes in the unit that fits. */
function bytes(size) {
  const units = ["B", "kB", "MB", "GB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(size, 1)) / 3));
  return `${(size / 1000 ** power).toFixed(power ? 1 : 0)} ${units[power]}`;
}

/** Print the date and minute of an ISO moment, as it stands there. */
const minute = (text) =>
  String(text)
    .replace("T", " ")
    .replace(/:\d\d(\.\d+)?(?=$|[+Z-])/, "")
    .replace(/\+00:00|Z$/, " UTC");

/** Show an error in words, or take the last one away. */
function complain(id, error) {
  at(id).replaceChildren(...(error ? [el("p", { class: "problem" }, error.message)] : []));
}

const latest = new Map(); // place → number of the last work begun there

/**
 * Do some work with its button off and its status told; an error is shown in words.
 *
 * @param {string} place begins the ids of the status and the alert
 * @param {HTMLButtonElement[]} buttons that cannot be pressed meanwhile
 * @param {string} words what is being done
 * @param {() => Promise<string|void>} work its result is the status afterwards
 */
async function busy(place, buttons, words, work) {
  const status = at(`${place}-status`);
  const section = status.closest("section");
  const own = (latest.get(place) ?? 0) + 1;
  latest.set(place, own);
  complain(`${place}-alert`, null);
  for (const button of buttons) button.disabled = true;
  section.setAttribute("aria-busy", "true");
  status.textContent = words;
  let told = "";
  let failed = null;
  try {
    told = (await work()) ?? "";
  } catch (error) {
    failed = error;
  }
  for (const button of buttons) button.disabled = false;
  // Whoever has begun anew is not told of what came before.
  if (latest.get(place) !== own) return;
  section.removeAttribute("aria-busy");
  status.textContent = told;
  complain(`${place}-alert`, failed);
  if (failed?.node) point(failed.node);
}

/** Mark the field that an error is about, until it is changed, and put the cursor there. */
function point(node) {
  node.setAttribute("aria-invalid", "true");
  node.addEventListener("input", () => node.removeAttribute("aria-invalid"), { once: true });
  node.focus();
}
