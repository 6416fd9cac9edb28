"""The `fingan` command: parse, call, print."""

from fingan.cli.app import main

__all__ = ["main"]
