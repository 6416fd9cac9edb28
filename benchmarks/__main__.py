"""`python -m benchmarks NAME …`: run a benchmark; without a name, all of them."""

from __future__ import annotations

import sys

from benchmarks import document
from benchmarks.registry import COMMANDS, NAMES, load


def main(arguments: list[str]) -> None:
    """Run the named benchmark with the other arguments, or all with their defaults, and write the tables."""
    if not arguments:
        for name in NAMES:
            load(name).main([])
        document.main([])
        return
    name, *rest = arguments
    known = (*NAMES, *COMMANDS)
    if name not in known:
        sys.exit(f"unknown benchmark {name!r}; known: {', '.join(known)}")
    load(name).main(rest)


if __name__ == "__main__":
    main(sys.argv[1:])
