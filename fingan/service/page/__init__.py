"""The service's own page: one HTML document that needs nothing else, and a policy that lets nothing in.

Style and script stand in the document itself, and the Content-Security-Policy names them by
their hashes: a browser runs exactly these, whatever a column's name or value may hold.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources

# Each builds on those before it.
_SCRIPTS = (
    "kit.js",
    "api.js",
    "shares.js",
    "plots.js",
    "report.js",
    "card.js",
    "conditions.js",
    "sample.js",
    "download.js",
    "page.js",
)


def page() -> bytes:
    """Return the document, in UTF-8."""
    template = _file("index.html")
    return template.replace("@style@", _style(), 1).replace("@script@", _script(), 1).encode()


@cache
def policy() -> str:
    """Return the Content-Security-Policy under which the document works, and nothing else does."""
    rules = {
        "default-src": "'none'",
        "style-src": _hash(_style()),
        "script-src": _hash(_script()),
        "connect-src": "'self'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        # The script builds elements one by one; a text never becomes markup.
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


@cache
def _style() -> str:
    # The reports' style is the base of this page's.
    report = resources.files("fingan.evaluation").joinpath("templates", "report.css")
    return report.read_text(encoding="utf-8") + _file("page.css")


@cache
def _script() -> str:
    parts = "\n".join(_file(name) for name in _SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}}})();\n'


def _file(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
