"""Tokens: known by their hashes, read again when their file changes, never told to anybody."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from fingan.errors import ConfigError
from fingan.service.identity import (
    LOOK_SECONDS,
    Authority,
    Caller,
    Either,
    OneToken,
    TokenFile,
    add_token,
    new_token,
    read_tokens,
    write_private,
)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def entry(name: str, token: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "sha256": hashlib.sha256(token.encode()).hexdigest(), **more}


def write(path: Path, *entries: dict[str, Any]) -> Path:
    write_private(path, yaml.safe_dump({"tokens": list(entries)}))
    return path


def ask(authority: Authority, token: str) -> Caller | None:
    return asyncio.run(authority.caller(token))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with two tokens."""
    more = {"models": ["loans"], "rows_per_minute": 500}
    return write(tmp_path / "tokens.yaml", entry("everything", "first"), entry("loans", "second", **more))


def test_a_token_is_its_callers_and_no_other_is(path: Path) -> None:
    known = TokenFile(path)
    assert ask(known, "first") == Caller("everything")
    assert ask(known, "second") == Caller("loans", frozenset({"loans"}), 500)
    for wrong in ("", "firs", "first ", "FIRST", "first\0", "\xff", "é" * 1000):
        assert ask(known, wrong) is None
    assert ask(known, hashlib.sha256(b"first").hexdigest()) is None


def test_nothing_is_no_token_even_if_somebody_hashed_it(tmp_path: Path) -> None:
    path = write(tmp_path / "tokens.yaml", entry("unset-variable", ""))
    assert ask(TokenFile(path), "") is None
    assert ask(OneToken("", Caller("owner")), "") is None


def test_a_caller_may_use_the_models_of_its_entry() -> None:
    assert Caller("a").may_use("loans")
    assert Caller("a", frozenset({"loans"})).may_use("loans")
    assert not Caller("a", frozenset({"loans"})).may_use("loan")
    assert not Caller("a", frozenset()).may_use("loans")


def test_a_changed_file_is_read_again_after_a_while(path: Path, clock: Clock) -> None:
    known = TokenFile(path, clock)
    write(path, entry("new", "third"))
    assert ask(known, "third") is None
    assert ask(known, "first") is not None
    clock.now += LOOK_SECONDS
    assert ask(known, "third") == Caller("new")
    assert ask(known, "first") is None


BROKEN = {
    "not YAML": b"tokens: [",
    "no such day, to YAML": b"tokens: 2024-13-45",
    "no number, though it says so": b"tokens: !!int ''",
    "not UTF-8": b"\xff\xfe",
    "empty": b"",
    "no list": b"tokens: x",
    "not a hash": b"tokens: [{name: a, sha256: hunter2}]",
    "nested too deep": b"[" * 1500,
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_file_that_became_broken_leaves_the_tokens_as_they_were(
    path: Path, clock: Clock, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    known = TokenFile(path, clock)
    path.write_bytes(content)
    clock.now += LOOK_SECONDS
    with caplog.at_level(logging.ERROR):
        assert ask(known, "first") == Caller("everything")
        clock.now += LOOK_SECONDS
        assert ask(known, "first") == Caller("everything")
    assert [str(path) in record.getMessage() for record in caplog.records] == [True]
    write(path, entry("mended", "fourth"))
    clock.now += LOOK_SECONDS
    assert ask(known, "fourth") == Caller("mended")


def test_a_file_that_is_gone_leaves_the_tokens_as_they_were(path: Path, clock: Clock) -> None:
    known = TokenFile(path, clock)
    content = path.read_bytes()
    path.unlink()
    clock.now += LOOK_SECONDS
    assert ask(known, "first") is not None
    write_private(path, content.decode().replace("everything", "back"))
    clock.now += LOOK_SECONDS
    assert ask(known, "first") == Caller("back")


def test_a_file_that_others_may_write_is_refused_until_it_is_closed_to_them(path: Path, clock: Clock) -> None:
    known = TokenFile(path, clock)
    for mode in (0o620, 0o602):
        path.chmod(mode)
        with pytest.raises(ConfigError, match=r"others may write the token file.*chmod 600"):
            TokenFile(path)
    write(path, entry("other", "third"))
    path.chmod(0o666)
    clock.now += LOOK_SECONDS
    assert ask(known, "third") is None
    # The remedy that the message names is enough: nothing else need be touched.
    path.chmod(0o600)
    clock.now += LOOK_SECONDS
    assert ask(known, "third") == Caller("other")


def test_a_group_may_read_the_file(path: Path) -> None:
    path.chmod(0o640)
    assert ask(TokenFile(path), "first") is not None


SECRET = "fingan_hunter2hunter2hunter2"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"tokens: [{{name: a, sha256: {SECRET}}}]", r"tokens\.0\.sha256"),
        (f"tokens: [{{name: ok, sha256: {'a' * 64}}}, {{name: b, token: {SECRET}}}]", r"tokens\.1\."),
        (f"tokens: [{{name: a, sha256: {'a' * 64}, {SECRET}: x}}]", r"tokens\.0"),
        (f"tokens: [{{name: a, sha256: {'a' * 64}, models: {SECRET}}}]", r"tokens\.0\.models"),
        (f"tokens: [{{name: a, sha256: {'a' * 64}, rows_per_minute: '7'}}]", r"rows_per_minute"),
        (f"tokens: [{{name: a, sha256: {'a' * 64}, rows_per_minute: 0}}]", r"rows_per_minute"),
        (f"tokens: [{{name: '../a', sha256: {'a' * 64}}}]", r"tokens\.0\.name"),
        (f"{SECRET}", "file"),
        (f"tokens: [{SECRET}", "is not YAML"),
        (f"tokens: [{{name: a, sha256: {'A' * 64}}}]", r"tokens\.0\.sha256"),
        ("tokens: {}", "tokens"),
        ("", "file"),
    ],
)
def test_errors_name_file_and_entry_and_no_secret(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "tokens.yaml"
    write_private(path, text)
    with pytest.raises(ConfigError, match=said) as caught:
        read_tokens(path)
    assert str(path) in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_file_that_is_not_there_and_one_that_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.yaml': No such file"):
        TokenFile(tmp_path / "nothing.yaml")
    with pytest.raises(ConfigError, match="Is a directory"):
        TokenFile(tmp_path)


def test_two_entries_of_one_name_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "tokens.yaml", entry("twin", "a"), entry("other", "b"), entry("twin", "c"))
    with pytest.raises(ConfigError, match="two entries are called 'twin'"):
        read_tokens(path)


def test_an_added_token_works_and_only_its_hash_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "private" / "tokens.yaml"
    first, second = add_token(path, "first"), add_token(path, "second@example.com")
    known = TokenFile(path)
    assert (ask(known, first), ask(known, second)) == (Caller("first"), Caller("second@example.com"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert first not in path.read_text()
    assert [p.name for p in path.parent.iterdir()] == ["tokens.yaml"]


def test_adding_a_token_keeps_what_is_there(path: Path) -> None:
    before = read_tokens(path)
    add_token(path, "third")
    assert read_tokens(path)[:2] == before


@pytest.mark.parametrize("name", ["", "a b", "../x", "-x", "x" * 65, "x\n", "ä"])
def test_a_name_that_is_none_adds_nothing(path: Path, name: str) -> None:
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="cannot name a token"):
        add_token(path, name)
    with pytest.raises(ConfigError, match="has an entry 'loans' already"):
        add_token(path, "loans")
    assert path.read_bytes() == before


def test_where_nobody_may_write_no_token_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write"):
        add_token(tmp_path / "file" / "tokens.yaml", "a")


def test_private_from_the_first_byte_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_private(tmp_path / "token", "secret")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600


def test_tokens_are_long_and_never_the_same() -> None:
    made = {new_token() for _ in range(100)}
    assert len(made) == 100
    assert all(token.startswith("fingan_") and len(token) == 50 for token in made)


def test_one_token_holds_no_token() -> None:
    only = OneToken("secret-of-mine", Caller("owner"))
    assert ask(only, "secret-of-mine") == Caller("owner")
    assert ask(only, "secret-of-min") is None
    assert "secret-of-mine" not in repr(vars(only))


def test_either_asks_one_after_the_other() -> None:
    first, second = OneToken("a", Caller("first")), OneToken("b", Caller("second"))
    both = Either(first, second, OneToken("a", Caller("never")))
    assert [ask(both, token) for token in "abc"] == [Caller("first"), Caller("second"), None]
    assert ask(Either(), "a") is None
