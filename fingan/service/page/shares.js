// Shares of a sample in the bins and categories that the service tells of the training table.

/** Return a value as the number that a column's edges are told in; NaN where it is none. */
function numeric(column, value) {
  if (column.text === null) return typeof value === "number" ? value : Number(value);
  // A moment without a zone is read as UTC, as the edges are; a browser knows milliseconds at most.
  const text = String(value)
    .replace(" ", "T")
    .replace(/(\.\d{3})\d+/, "$1");
  return Date.parse(/T.*([+-]\d\d:?\d\d|Z)$/.test(text) || !text.includes("T") ? text : `${text}Z`);
}

/** Return the number of the bin that holds a value; the outer ones hold all that lies beyond. */
function binOf(edges, value) {
  let low = 0;
  let high = edges.length - 2;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (edges[middle] <= value) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Return how categories are compared: numbers by value, the rest by their text. */
function levelKey(value) {
  const number =
    typeof value === "string" && /^-?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(value) ? Number(value) : value;
  if (typeof number !== "number" || (Number.isInteger(number) && !Number.isSafeInteger(number)))
    return String(value);
  return String(number);
}

/** Return `{shares, other, missing}` of a sample's values, cut as the training column is. */
function tally(column, values) {
  const shares = new Array(column.shares.length).fill(0);
  const places = column.kind === "category" ? new Map(column.values.map((v, i) => [levelKey(v), i])) : null;
  let other = 0;
  let missing = 0;
  const one = 1 / Math.max(values.length, 1);
  for (const value of values) {
    const number = places === null && value !== null ? numeric(column, value) : 0;
    const place = places === null ? binOf(column.edges, number) : places.get(levelKey(value));
    if (value === null || Number.isNaN(number)) missing += one;
    else if (place === undefined || place >= shares.length) other += one;
    else shares[place] += one;
  }
  return { shares, other, missing };
}

/** Return all cells of a distribution: bins or categories, then the rest and the missing values. */
const cells = (told) => [...told.shares, told.other ?? 0, told.missing];

/** Return the total variation distance of two distributions over the same cells. */
function distance(real, sample) {
  const other = cells(sample);
  return cells(real).reduce((sum, share, i) => sum + Math.abs(share - other[i]), 0) / 2;
}

/** Return what the distance is on average for `rows` rows of the training table itself. */
function byChance(real, rows) {
  const spread = (p) => Math.sqrt((2 * p * (1 - p)) / (Math.PI * rows));
  return cells(real).reduce((sum, share) => sum + spread(Math.min(Math.max(share, 0), 1)), 0) / 2;
}

/** Return whether each bin of a column holds one value. */
const single = (column) =>
  column.step !== null &&
  column.edges.length > 1 &&
  Math.abs(column.edges[1] - column.edges[0] - column.step) < column.step / 4;

/** Name an edge: as a moment, or as the first (side 1) or last (side -1) value of the bin beside it. */
function edgeName(column, i, side, print = brief) {
  if (column.text !== null) return column.text[i];
  return print(column.edges[i] + ((column.step ?? 0) / 2) * side, column.step);
}

/** Name a cell of a column. */
function cellName(column, i) {
  const last = column.shares.length;
  if (i === last) return "all others";
  if (i > last) return "missing";
  if (column.kind === "category") return column.values[i];
  const print = column.step === null ? brief : exact;
  const [from, to] = [edgeName(column, i, 1, print), edgeName(column, i + 1, -1, print)];
  if (column.text !== null)
    return i === last - 1 ? `from ${from}` : i ? `${from} until before ${to}` : `before ${to}`;
  if (single(column)) return from;
  return i === last - 1 ? `${from} and more` : i ? `${from} to ${to}` : `up to ${to}`;
}
