"""`python -m benchmarks NAME …`: run a benchmark; without a name, all of them."""

from __future__ import annotations

import sys

from benchmarks import document, missing, quality, workers

BENCHMARKS = {"quality": quality.main, "missing": missing.main, "workers": workers.main}


def main(arguments: list[str]) -> None:
    """Run the named benchmark with the other arguments, or all with their defaults, and write the tables."""
    if not arguments:
        for run in BENCHMARKS.values():
            run([])
        document.main([])
        return
    name, *rest = arguments
    if name == "document":
        document.main(rest)
        return
    if name not in BENCHMARKS:
        sys.exit(f"unknown benchmark {name!r}; known: {', '.join(BENCHMARKS)}")
    BENCHMARKS[name](rest)


if __name__ == "__main__":
    main(sys.argv[1:])
