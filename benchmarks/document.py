"""Write the results' tables into docs/benchmarks.md, below their markers.

python -m benchmarks document
"""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks import missing, quality, workers
from benchmarks.results import Results

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
TABLES = {"quality": quality.table, "missing": missing.table, "workers": workers.table}


def main(arguments: list[str]) -> None:
    """Replace what stands between each marker and its end."""
    text = PAGE.read_text(encoding="utf-8")
    for name, table in TABLES.items():
        rows = Results(name).rows()
        if rows:
            block = f"<!-- {name} -->\n\n{table(rows)}\n\n<!-- end -->"
            text = re.sub(
                rf"<!-- {name} -->(?:.*?<!-- end -->)?", lambda _, b=block: b, text, flags=re.DOTALL
            )
    PAGE.write_text(text, encoding="utf-8")
