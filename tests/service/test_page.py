"""The page: one document that needs nothing else, under a policy that lets nothing else in."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path

import pytest

from fingan.service.page import page, policy

FOLDER = Path(str(resources.files("fingan.service.page")))
SCRIPTS = sorted(FOLDER.glob("*.js"))
# What a namespace is called; nothing is fetched from there.
NAMESPACE = "http://www.w3.org/2000/svg"
LONGEST = 400


class Elements(HTMLParser):
    """The elements of a document, and the text of its styles and scripts."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, str] = {"style": "", "script": ""}
        self._inside = ""
        self.feed(document)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside in self.text:
            self.text[self._inside] += data

    def named(self, *tags: str) -> list[dict[str, str | None]]:
        """Return the attributes of all elements of these names."""
        return [attributes for tag, attributes in self.found if tag in tags]


@pytest.fixture(scope="module")
def document() -> str:
    """The page as text."""
    return page().decode("utf-8")


@pytest.fixture(scope="module")
def elements(document) -> Elements:
    """Its elements."""
    return Elements(document)


def rules() -> dict[str, str]:
    """Return the policy's directives."""
    return dict(rule.split(" ", 1) for rule in policy().split("; "))


def test_nothing_is_fetched_from_anywhere(document, elements):
    assert not re.search(r"https?:(?!//www\.w3\.org/2000/svg)|@import|url\(", document)
    assert NAMESPACE in document
    addresses = [a[n] for _, a in elements.found for n in ("src", "href", "action", "data") if n in a]
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)


def test_the_policy_names_the_very_style_and_script(elements):
    for tag in ("style", "script"):
        assert len(elements.named(tag)) == 1
        assert elements.named(tag) == [{}]
        digest = base64.b64encode(hashlib.sha256(elements.text[tag].encode()).digest()).decode()
        assert rules()[f"{tag}-src"] == f"'sha256-{digest}'"


def test_the_policy_lets_nothing_else_in():
    found = rules()
    assert (
        found["default-src"]
        == found["base-uri"]
        == found["form-action"]
        == found["frame-ancestors"]
        == "'none'"
    )
    assert found["connect-src"] == "'self'"
    assert "unsafe" not in policy()
    assert "*" not in policy()
    assert "\n" not in policy()


def test_no_handler_and_no_style_stands_in_an_attribute(elements):
    attributes = [name for _, own in elements.found for name in own]
    assert not [name for name in attributes if name.startswith("on") or name == "style"]


def test_the_document_is_whole_whatever_its_parts_hold(document):
    assert "@style@" not in document
    assert "@script@" not in document
    assert document.count("</script>") == document.count("</style>") == 1
    # A browser reads CR LF as LF, and the hashes would not fit.
    assert "\r" not in document


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_short_and_make_no_markup_of_texts(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= LONGEST
    banned = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|DOMParser|\.cssText"
    )
    assert not re.search(banned, text)
    assert not re.search(r"localStorage|document\.cookie|location\s*=", text)


def test_every_script_is_part_of_the_page(document):
    for path in SCRIPTS:
        assert path.read_text(encoding="utf-8") in document


def test_every_field_has_a_label_and_every_reference_a_target(elements):
    ids = [own["id"] for _, own in elements.found if "id" in own]
    assert len(set(ids)) == len(ids)
    labels = {own["for"] for own in elements.named("label")}
    assert {own["id"] for own in elements.named("input", "select")} == labels
    for _, own in elements.found:
        for name in ("aria-labelledby", "aria-describedby"):
            assert own.get(name) is None or own[name] in ids


def test_the_script_asks_for_elements_that_are_there(elements):
    ids = {own["id"] for _, own in elements.found if "id" in own}
    asked = set(re.findall(r'\bat\("([\w-]+)"\)', elements.text["script"]))
    assert asked <= ids
    alerts = [own for _, own in elements.found if own.get("role") == "alert"]
    assert len(alerts) == 5


def test_the_token_is_typed_where_nobody_reads_it(elements):
    (field,) = [own for own in elements.named("input") if own.get("id") == "token"]
    assert field["type"] == "password"
    assert field["autocomplete"] == "off"
    # Without a name no form would put it into an address.
    assert "name" not in field
