// One small chart for each column: bars for the sample, an outline for the training table.

const WIDTH = 240;
const HEIGHT = 96;
const LEVELS = 10;

/**
 * Return the figure of a column.
 *
 * @param {object} column of the training table, as the service tells it
 * @param {Array} values of the sample
 */
function plot(column, values) {
  const title = el("b", { title: column.name }, column.name);
  if (column.kind === "identifier") {
    return el(
      "figure",
      {},
      el("figcaption", {}, title),
      el("p", { class: "missing" }, "An identifier: made up, never learned."),
    );
  }
  const sample = tally(column, values);
  const [gap, chance] = [distance(column, sample), byChance(column, values.length)];
  const caption = el(
    "figcaption",
    {},
    title,
    el("span", {}, `${percent(gap)} `, el("i", {}, `(${percent(chance)})`)),
  );
  const words = describe(column, sample, gap, chance);
  const parts = [caption];
  if (column.shares.length)
    parts.push(column.kind === "category" ? levels(column, sample, words) : histogram(column, sample, words));
  if (column.missing > 0 || sample.missing > 0) {
    const text = `missing: ${percent(sample.missing)} in the sample, ${percent(column.missing)} in the table`;
    parts.push(el("p", { class: "missing" }, text));
  }
  parts.push(figures(column, sample));
  return el("figure", { "data-column": column.name, "data-distance": gap.toFixed(6) }, ...parts);
}

/** Say in words what a chart shows. */
function describe(column, sample, gap, chance) {
  const made = cells(sample);
  const excess = cells(column)
    .map((share, i) => [made[i] - share, i])
    .sort((a, b) => b[0] - a[0]);
  const said = ([, i]) =>
    `${cellName(column, i)} (${percent(made[i])} in the sample, ${percent(cells(column)[i])} in the table)`;
  return (
    `${column.name}: total variation distance ${percent(gap)} between the sample and the training table, ` +
    `about ${percent(chance)} by chance. ` +
    `Most too frequent: ${said(excess[0])}. Most too rare: ${said(excess.at(-1))}.`
  );
}

function chart(height, words, parts) {
  const box = { class: "chart", viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": words };
  return draw("svg", box, ...parts);
}

const bar = (x, y, width, height) =>
  draw("rect", { class: "bar", x, y, width: Math.max(width, 0), height: Math.max(height, 0) });

const label = (x, y, kind, text, full = text) =>
  draw("text", { class: `label ${kind}`, x, y }, text, text === full ? null : draw("title", {}, full));

/** Vertical bars and a stepped outline, on one scale. */
function histogram(column, sample, words) {
  const size = column.shares.length;
  const top = Math.max(...column.shares, ...sample.shares, 1e-12);
  const step = WIDTH / Math.max(size, 4);
  const left = (WIDTH - step * size) / 2;
  const gap = single(column) && size <= 12 ? 0.12 * step : 0;
  const y = (share) => HEIGHT - (share / top) * (HEIGHT - 2);
  const parts = sample.shares.map((s, i) =>
    bar(left + i * step + gap + 0.5, y(s), step - 2 * gap - 1, HEIGHT - y(s)),
  );
  let path = "";
  column.shares.forEach((share, i) => {
    const [from, to] = [left + i * step + gap, left + (i + 1) * step - gap];
    const begin = i && !gap ? `V${y(share)}` : `M${from} ${HEIGHT}V${y(share)}`;
    path += `${begin}H${to}${gap || i === size - 1 ? `V${HEIGHT}` : ""}`;
  });
  parts.push(
    draw("path", { class: "outline", d: path }),
    draw("path", { class: "axis", d: `M0 ${HEIGHT}H${WIDTH}` }),
  );
  return chart(HEIGHT + 18, words, [...parts, ...ticks(column, left, step)]);
}

function ticks(column, left, step) {
  const size = column.shares.length;
  const y = HEIGHT + 13;
  if (single(column) && size <= 12) {
    const names = column.shares.map((_, i) => edgeName(column, i, 1));
    const room = Math.max(...names.map((name) => name.length)) * 6 + 6;
    const every = Math.max(1, Math.ceil(room / step));
    return names.flatMap((name, i) => (i % every ? [] : [label(left + (i + 0.5) * step, y, "middle", name)]));
  }
  const shown = column.text === null ? (i, side) => edgeName(column, i, side) : (i) => moment(column, i);
  const ends = [label(0, y, "", shown(0, 1)), label(WIDTH, y, "end", shown(size, -1))];
  return size % 2 ? ends : [...ends, label(WIDTH / 2, y, "middle", shown(size / 2, 1))];
}

/** Return a moment's day, or its time where all of them are of one day. */
function moment(column, i) {
  const [day, time] = column.text[i].split("T");
  const oneDay = column.text.every((text) => text.startsWith(column.text[0].slice(0, 10)));
  return oneDay && time ? time.replace("Z", "") : day;
}

/** Horizontal bars, the most frequent category first; those beyond the tenth are taken together. */
function levels(column, sample, words) {
  const shown = Math.min(column.shares.length, LEVELS);
  const rest = (told) => told.shares.slice(shown).reduce((sum, share) => sum + share, 0) + (told.other ?? 0);
  const rows = column.values.slice(0, shown).map((name, i) => [name, column.shares[i], sample.shares[i]]);
  if (rest(column) > 0 || rest(sample) > 0) rows.push(["all others", rest(column), rest(sample)]);
  const top = Math.max(...rows.flatMap(([, real, made]) => [real, made]), 1e-12);
  const [height, left] = [17, 112];
  const span = WIDTH - left - 1;
  const parts = rows.flatMap(([name, real, made], i) => {
    const y = i * height;
    const full = name === "" ? "(empty)" : name;
    return [
      label(left - 6, y + 12, "end", shorten(full, 16), full),
      bar(left, y + 4, (made / top) * span, height - 8),
      draw("path", {
        class: "outline",
        d: `M${left} ${y + 2}H${left + (real / top) * span}V${y + height - 2}H${left}`,
      }),
    ];
  });
  return chart(height * rows.length, words, [
    ...parts,
    draw("path", { class: "axis", d: `M${left} 0V${height * rows.length}` }),
  ]);
}

/** The same figures as a table, made when it is opened. */
function figures(column, sample) {
  const details = el(
    "details",
    { class: "figures" },
    el("summary", {}, "Figures", el("span", { class: "hidden" }, ` of ${column.name}`)),
  );
  const fill = () => {
    if (!details.open || details.childElementCount > 1) return;
    const made = cells(sample);
    const rows = cells(column).flatMap((share, i) =>
      share > 0 || made[i] > 0 || i < column.shares.length
        ? [[cellName(column, i), percent(made[i]), percent(share)]]
        : [],
    );
    const table = grid(["Value", "Sample", "Table"], rows, { class: "small", numeric: [1, 2] });
    const about = `Figures of ${column.name}`;
    details.append(
      el("div", { class: "scroll box", role: "region", "aria-label": about, tabindex: "0" }, table),
    );
  };
  details.addEventListener("toggle", fill);
  return details;
}

/** Build a table from texts; the first column heads the rows. */
function grid(heads, rows, { class: kind = "", numeric: right = [] } = {}) {
  const side = (i) => (right.includes(i) ? { class: "num" } : {});
  const head = el("tr", {}, ...heads.map((text, i) => el("th", { scope: "col", ...side(i) }, text)));
  const body = rows.map((row) =>
    el("tr", {}, ...row.map((cell, i) => (i ? el("td", side(i), cell) : el("th", { scope: "row" }, cell)))),
  );
  return el("table", { class: kind }, el("thead", {}, head), el("tbody", {}, ...body));
}
