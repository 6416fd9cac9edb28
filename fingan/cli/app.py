"""The command line's frame: its verbs, errors and exit codes."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence

import typer

from fingan.cli import data, demo, evaluate, later, models, sample, serve, train, tune
from fingan.cli.console import EXIT_FAILURE, EXIT_INTERRUPTED, EXIT_USAGE, fail
from fingan.cluster.following import WORK
from fingan.errors import FinganError

# The base of all errors of parsing; Typer exports it under no name of its own.
_UsageProblem: type[Exception] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)

app = typer.Typer(
    name="fingan",
    help="Train generative adversarial networks on financial tables, and sample from them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for module in (data, train, tune, sample, evaluate, models, serve, demo, later):
    module.register(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 ok, 1 failure, 2 usage, 3 failed gate, 130 interrupted.

    A request to terminate, as from a scheduler or `ray job stop`, is treated as Ctrl-C.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    code = run(arguments)
    if any(thread.name == WORK for thread in threading.enumerate()):
        # Left in the middle of a step: Python's way out would pull the interpreter from under it.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: without the program's name; those of the process when None.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in words
    try:
        return _invoke(words)
    except KeyboardInterrupt:
        fail("interrupted", "Interrupted", as_json)
        return EXIT_INTERRUPTED
    except FinganError as error:
        fail(str(error), type(error).__name__, as_json)
        return error.exit_code
    except BrokenPipeError:
        # The reader of our output left, as `head` does; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILURE
    except (OSError, MemoryError) as error:
        fail(f"{type(error).__name__}: {error}", type(error).__name__, as_json)
        return EXIT_FAILURE
    except _UsageProblem as error:
        return _usage(error, as_json)
    except Exception as error:
        # A mistake of ours: the traceback for a report, the one object for programs.
        traceback.print_exc()
        fail(f"unexpected {type(error).__name__}: {error}; please report it", type(error).__name__, as_json)
        return EXIT_FAILURE


def _invoke(words: list[str]) -> int:
    # Not through the command's `main`, which turns Ctrl-C into an exit that looks like a result.
    command = typer.main.get_command(app)
    try:
        with command.make_context("fingan", list(words), obj=words) as context:
            outcome = command.invoke(context)
    except typer.Exit as done:
        return done.exit_code
    return outcome if isinstance(outcome, int) else 0


def _usage(error: Exception, as_json: bool) -> int:
    """Print an error of parsing; a bare `fingan` gets the help."""
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    if type(error).__name__ == "NoArgsIsHelpError" and not as_json:
        typer.echo(message, err=True)
    else:
        fail(message, "UsageError", as_json)
    code = getattr(error, "exit_code", EXIT_USAGE)
    return code if isinstance(code, int) else EXIT_USAGE
