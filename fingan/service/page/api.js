// Requests to the service. The token travels in a header only, never in an address.

const KEPT = "fingan.token";
let token = null;

/** What went wrong, in words: an answer other than what was asked for (its status), or a field that is. */
class Problem extends Error {
  constructor(status, message, node = null) {
    super(message);
    this.status = status;
    this.node = node;
  }
}

/** Read the token that this tab keeps, if it does. */
function recall() {
  try {
    token = sessionStorage.getItem(KEPT);
  } catch {
    token = null; // Storage may be forbidden; memory is enough.
  }
}

/** Use a token from now on; with `keep` until the tab is closed. */
function remember(text, keep) {
  token = text;
  try {
    if (keep && text !== null) sessionStorage.setItem(KEPT, text);
    else sessionStorage.removeItem(KEPT);
  } catch {
    // As above.
  }
}

/** Return the address of a path of the service, wherever its root is mounted. */
function address(path) {
  const base = new URL(document.baseURI);
  base.hash = base.search = "";
  return new URL(path, base);
}

/** Return the path of a model's resource. */
const modelPath = (reference, rest = "") =>
  `v1/models/${encodeURIComponent(reference).replaceAll("%3A", ":")}${rest}`;

/** Send a request; returns the answer, or throws a Problem. */
async function ask(path, { body, accept = "application/json", signal } = {}) {
  const headers = { Accept: accept };
  if (token !== null) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(address(path), {
      method: body === undefined ? "GET" : "POST",
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      cache: "no-store",
      credentials: "same-origin",
      redirect: "error",
    });
  } catch (error) {
    if (error.name === "AbortError") throw new Problem(0, "Cancelled.");
    throw new Problem(0, "The service cannot be reached. Check the network, or whether it still runs.");
  }
  if (!answer.ok) throw await refusal(answer);
  return answer;
}

const TITLES = {
  401: "The token was not accepted.",
  403: "This token may not do that.",
  404: "There is no such thing here.",
  413: "Too much was asked for.",
  429: "Too many requests at a time.",
  503: "The service cannot do this now.",
};

/** Put an answer that refuses into words. */
async function refusal(answer) {
  let detail = "";
  try {
    detail = String((await answer.json()).detail ?? "");
  } catch {
    // Not a problem document: a proxy answered.
  }
  const title = TITLES[answer.status] ?? (detail ? "" : `The service answered ${answer.status}.`);
  const request = answer.status >= 500 ? answer.headers.get("X-Request-Id") : null;
  const parts = [title, detail && sentence(detail), waiting(answer), request && `Request ${request}.`];
  return new Problem(answer.status, parts.filter(Boolean).join(" "));
}

/** Begin with a capital and end with a stop. */
function sentence(text) {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}

/** Say when to ask again, where the service tells it. */
function waiting(answer) {
  const text = answer.headers.get("Retry-After");
  if (text === null) return "";
  const moment = /^\d+$/.test(text.trim()) ? Number(text) : (Date.parse(text) - Date.now()) / 1000;
  return Number.isFinite(moment) ? `Try again in ${many(Math.max(1, Math.ceil(moment)), "second")}.` : "";
}

/** Parse JSON; whole numbers too large for a double stay texts, where the browser shows them. */
function parsed(text) {
  return JSON.parse(text, (key, value, context) =>
    typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value) && context?.source
      ? context.source
      : value,
  );
}

/** Ask for JSON. */
const askJson = async (path, options) => parsed(await (await ask(path, options)).text());
