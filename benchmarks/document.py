"""Write the results' tables into docs/benchmarks.md, between their markers.

python -m benchmarks document
"""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.command import parser
from benchmarks.registry import NAMES, load
from benchmarks.results import Results

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"


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
    tables = {}
    for name in NAMES:
        rows = Results(name, options.results).rows()
        if rows:
            tables[name] = load(name).table(rows)
    text = options.page.read_text(encoding="utf-8")
    options.page.write_text(filled(text, tables), encoding="utf-8")
