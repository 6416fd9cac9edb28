"""Write the results' tables into docs/benchmarks.md, between their markers.

    python -m benchmarks document

Results of the former default configuration, in the folder's `former`, stand below today's until they are
taken away, which is when today's replace them.
"""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.command import parser
from benchmarks.registry import NAMES, load
from benchmarks.results import FORMER, Results

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"


OUTDATED = (
    "*With the former default network, 384 units wide, with two blocks and 24 knots; not yet measured anew:*"
)


def tables(folder: Path) -> dict[str, str]:
    """Return each benchmark's table, and below it that of the former default where it is still kept."""
    found = {}
    for name in NAMES:
        rows, before = (Results(name, place).rows() for place in (folder, folder / FORMER))
        parts = [load(name).table(rows)] if rows else []
        parts += [OUTDATED, load(name).table(before)] if before else []
        if parts:
            found[name] = "\n\n".join(parts)
    return found


def filled(text: str, tables: dict[str, str]) -> str:
    """Return a page with each table between `<!-- name -->` and `<!-- end -->`."""
    for name, table in tables.items():
        block = f"<!-- {name} -->\n\n{table}\n\n<!-- end -->"
        marker = re.compile(rf"<!-- {name} -->(?:(?:(?!<!-- \w+ -->).)*?<!-- end -->)?", re.DOTALL)
        # Escaped: a table may hold backslashes, which a replacement would read as references.
        text = marker.sub(block.replace("\\", r"\\"), text)
    return text


def main(arguments: list[str]) -> None:
    """Replace what stands between each marker and its end."""
    reader = parser("document", __doc__)
    reader.add_argument("--page", type=Path, default=PAGE)
    options = reader.parse_args(arguments)
    text = options.page.read_text(encoding="utf-8")
    options.page.write_text(filled(text, tables(options.results)), encoding="utf-8")
