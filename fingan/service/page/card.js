// The model card: headings, lists, tables and paragraphs of Markdown, as elements; the rest stays text.

/** Return the elements of a card. */
function markdown(text) {
  const lines = text.replaceAll("\r", "").split("\n");
  const shown = [];
  let i = 0;
  const run = (matches) => {
    const start = i;
    while (i < lines.length && matches(lines[i])) i += 1;
    return lines.slice(start, i);
  };
  while (i < lines.length) {
    const heading = /^(#{1,6})\s+(.*)$/.exec(lines[i]);
    if (heading) {
      shown.push(el(heading[1].length < 3 ? "h4" : "h5", {}, plain(heading[2])));
      i += 1;
    } else if (lines[i].startsWith("|")) {
      shown.push(cardTable(run((line) => line.startsWith("|"))));
    } else if (/^[-*] /.test(lines[i])) {
      shown.push(
        el(
          "ul",
          { class: "plain" },
          ...run((line) => /^[-*] /.test(line)).map((line) => el("li", {}, plain(line.slice(2)))),
        ),
      );
    } else if (lines[i].trim()) {
      const paragraph = [lines[i], ...((i += 1), run((line) => line.trim() && !/^(#|\||[-*] )/.test(line)))];
      shown.push(el("p", {}, plain(paragraph.join(" "))));
    } else {
      i += 1;
    }
  }
  return shown;
}

/** Take the escapes away. */
const plain = (text) => text.trim().replace(/\\([\\`*_{}[\]<>|#])/g, "$1");

function cardTable(lines) {
  const rows = lines
    .filter((line) => !/^[|\s:-]+$/.test(line))
    .map((line) =>
      line
        .replace(/^\||\|\s*$/g, "")
        .split(/(?<!\\)\|/)
        .map(plain),
    );
  return el(
    "div",
    { class: "scroll box", role: "region", "aria-label": "Table of the model card", tabindex: "0" },
    grid(rows[0] ?? [], rows.slice(1), { class: "small" }),
  );
}
