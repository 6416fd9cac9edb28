"""What the entry points share."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fingan.cli import main


def run(verb: str, defaults: Sequence[str] = ()) -> None:
    """Run a verb with this process's arguments and exit with fingan's exit code.

    Args:
        verb: of the command line.
        defaults: an option with its value, which counts unless the option is given.
    """
    given = sys.argv[1:]
    known = any(word.partition("=")[0] in defaults[:1] for word in given)
    main([verb, *given, *([] if known else defaults)])
