"""Signed tokens: believed where an identity provider signed them for us, and now."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from fingan.config import OidcConfig
from fingan.errors import ConfigError
from fingan.service.identity import Caller
from fingan.service.oidc import KEYS_SECONDS, LEEWAY_SECONDS, PATIENCE_SECONDS, PAUSE_SECONDS, SignedTokens
from tests.service.providers import ISSUER, Provider, public, token

CALLER = Caller(f"{ISSUER} anna")


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def other() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def curve() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def provider(key: rsa.RSAPrivateKey, curve: ec.EllipticCurvePrivateKey) -> Iterator[Provider]:
    found = Provider()
    found.publish(public(key, "first"), public(curve, "curve"))
    with found.answering():
        yield found


@pytest.fixture
def clock() -> Clock:
    return Clock()


def authority(provider: Provider, clock: Clock | None = None, **more: Any) -> SignedTokens:
    config = OidcConfig(issuer=ISSUER, audience="fingan", keys_url=provider.url, **more)
    return SignedTokens(config, clock or Clock())


def ask(known: SignedTokens, given: str) -> Caller | None:
    return asyncio.run(known.caller(given))


@pytest.mark.parametrize("algorithm", ["RS256", "RS512", "PS256"])
def test_a_sound_token_speaks_for_its_subject(
    provider: Provider, key: rsa.RSAPrivateKey, algorithm: str
) -> None:
    assert ask(authority(provider), token(key, algorithm=algorithm)) == CALLER


def test_a_token_may_be_for_several_and_signed_on_a_curve(
    provider: Provider, curve: ec.EllipticCurvePrivateKey
) -> None:
    given = token(curve, "curve", "ES256", aud=["another", "fingan"])
    assert ask(authority(provider), given) == CALLER


def test_quota_and_name_are_as_configured(provider: Provider, key: rsa.RSAPrivateKey) -> None:
    known = authority(provider, name_claim="email", rows_per_minute=500)
    assert ask(known, token(key, email="a@b.c")) == Caller(f"{ISSUER} a@b.c", None, 500)
    assert ask(known, token(key)) is None


@dataclass(frozen=True)
class FromNow:
    """A time so many seconds from now; tests are named by these, alike in all processes."""

    seconds: int


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://login.example.com"},
        {"iss": None},
        {"iss": [ISSUER]},
        {"aud": "another"},
        {"aud": None},
        {"aud": []},
        {"aud": "fingan2"},
        {"exp": FromNow(-int(LEEWAY_SECONDS) - 60)},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": 1e400},
        {"nbf": FromNow(3600)},
        {"iat": FromNow(3600)},
        {"sub": None},
        {"sub": ""},
        {"sub": "x" * 201},
    ],
    ids=str,
)
def test_what_is_not_for_us_and_now_is_nobodys(
    provider: Provider, key: rsa.RSAPrivateKey, claims: dict[str, Any]
) -> None:
    now = int(time.time())
    told = {name: now + c.seconds if isinstance(c, FromNow) else c for name, c in claims.items()}
    assert ask(authority(provider), token(key, **told)) is None


def test_clocks_may_differ_a_little(provider: Provider, key: rsa.RSAPrivateKey) -> None:
    assert ask(authority(provider), token(key, exp=int(time.time()) - 10)) == CALLER


def test_a_signature_by_another_key_is_nobodys(
    provider: Provider, key: rsa.RSAPrivateKey, other: rsa.RSAPrivateKey
) -> None:
    known = authority(provider)
    for given in (token(other), token(key, "unknown"), token(key, None), token(key, "curve"), token(key, "")):
        assert ask(known, given) is None


def test_a_changed_token_is_nobodys(provider: Provider, key: rsa.RSAPrivateKey) -> None:
    known = authority(provider)
    header, _, signature = token(key).split(".")
    _, others, _ = token(key, sub="admin").split(".")
    assert ask(known, f"{header}.{others}.{signature}") is None
    assert ask(known, f"{header}.{others}.") is None


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_no_signature_is_nobodys(provider: Provider, key: rsa.RSAPrivateKey) -> None:
    known = authority(provider)
    body = token(key).split(".")[1]
    for algorithm in ("none", "None", "NONE", "nOnE", ""):
        assert ask(known, f"{encoded({'alg': algorithm, 'kid': 'first'})}.{body}.") is None


def test_a_signature_with_the_public_key_as_a_secret_is_nobodys(
    provider: Provider, key: rsa.RSAPrivateKey
) -> None:
    """The key is public: whoever reads it could sign if it were taken for a secret."""
    known = authority(provider)
    body = token(key).split(".")[1]
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, form)
    for secret in (pem, pem.strip(), json.dumps(public(key, "first")).encode()):
        for name, digest in (("HS256", hashlib.sha256), ("HS512", hashlib.sha512)):
            signed = f"{encoded({'alg': name, 'kid': 'first', 'typ': 'JWT'})}.{body}"
            made = hmac.new(secret, signed.encode(), digest).digest()
            assert ask(known, f"{signed}.{base64.urlsafe_b64encode(made).rstrip(b'=').decode()}") is None


def test_a_secret_among_the_keys_signs_nothing(provider: Provider) -> None:
    secret = b"s" * 64
    published = base64.urlsafe_b64encode(secret).rstrip(b"=").decode()
    provider.publish({"kty": "oct", "k": published, "kid": "first", "use": "sig", "alg": "HS256"})
    assert ask(authority(provider), token(secret, algorithm="HS256")) is None


def test_a_key_for_other_purposes_signs_nothing(provider: Provider, key: rsa.RSAPrivateKey) -> None:
    provider.publish(public(key, "first", use="enc"))
    assert ask(authority(provider), token(key)) is None


def garbage() -> dict[str, str]:
    nested = "[" * 20_000 + "]" * 20_000
    return {
        "empty": "",
        "no token": "x",
        "dots": "..",
        "spaces": " . . ",
        "no JSON": "a.b.c",
        "not a header": f"{encoded([1])}.{encoded({})}.eA",
        "key of a number": f"{encoded({'alg': 'RS256', 'kid': 1})}.{encoded({})}.eA",
        "key of a list": f"{encoded({'alg': 'RS256', 'kid': ['first']})}.{encoded({})}.eA",
        "no algorithm": f"{encoded({'kid': 'first'})}.{encoded({})}.eA",
        "algorithm of another key": f"{encoded({'alg': 'ES256', 'kid': 'first'})}.{encoded({})}.eA",
        "algorithm of a list": f"{encoded({'alg': ['RS256'], 'kid': 'first'})}.{encoded({})}.eA",
        "critical": f"{encoded({'alg': 'RS256', 'kid': 'first', 'crit': ['x']})}.{encoded({})}.eA",
        "nested": base64.urlsafe_b64encode(nested.encode()).decode() + ".e30.eA",
        "no ASCII": "ä.ö.ü",
        "half a pair": "\ud800.\ud800.\ud800",
        "NUL": "\0.\0.\0",
        "long": "a" * 100_000 + ".b.c",
        "a token of ours": "fingan_" + "x" * 43,
    }


@pytest.mark.parametrize("given", garbage().values(), ids=garbage())
def test_garbage_is_nobodys(provider: Provider, given: str) -> None:
    assert ask(authority(provider), given) is None


def test_what_has_not_the_form_of_a_token_asks_nobody_for_keys(provider: Provider) -> None:
    known = authority(provider)
    for given in ("", "fingan_abc", "a.b", "a.b.c.d"):
        assert ask(known, given) is None
    assert provider.asked == 0


@pytest.mark.parametrize(
    ("claim", "models"),
    [
        (["loans", "cards"], {"loans", "cards"}),
        ([], set()),
        (None, set()),
        ("loans", set()),
        (["loans", 1], set()),
        ({"loans": True}, set()),
        (True, set()),
    ],
)
def test_a_claim_names_the_models_and_anything_else_names_none(
    provider: Provider, key: rsa.RSAPrivateKey, claim: object, models: set[str]
) -> None:
    known = authority(provider, models_claim="models")
    assert ask(known, token(key, models=claim)) == Caller(f"{ISSUER} anna", frozenset(models))


def test_without_such_a_claim_configured_all_models_are_there(
    provider: Provider, key: rsa.RSAPrivateKey
) -> None:
    found = ask(authority(provider), token(key, models=["loans"]))
    assert found is not None
    assert found.models is None


def test_keys_are_fetched_once(provider: Provider, key: rsa.RSAPrivateKey) -> None:
    known = authority(provider)
    for _ in range(5):
        assert ask(known, token(key)) == CALLER
    assert provider.asked == 1


def test_a_new_key_is_found_and_strangers_cannot_have_it_looked_for_all_the_time(
    provider: Provider, key: rsa.RSAPrivateKey, other: rsa.RSAPrivateKey, clock: Clock
) -> None:
    known = authority(provider, clock)
    assert ask(known, token(key)) == CALLER
    provider.publish(public(key, "first"), public(other, "second"))
    for number in range(20):
        assert ask(known, token(key, f"made-up-{number}")) is None
    assert provider.asked == 1
    clock.now += PAUSE_SECONDS
    assert ask(known, token(other, "second")) == CALLER
    assert ask(known, token(key)) == CALLER
    assert provider.asked == 2


def test_a_key_that_was_withdrawn_is_not_believed_for_long(
    provider: Provider, key: rsa.RSAPrivateKey, other: rsa.RSAPrivateKey, clock: Clock
) -> None:
    known = authority(provider, clock)
    assert ask(known, token(key)) == CALLER
    provider.publish(public(other, "second"))
    clock.now += KEYS_SECONDS
    assert ask(known, token(key)) is None
    assert ask(known, token(other, "second")) == CALLER


BROKEN = {
    "an error": (500, b"oops"),
    "a page": (200, b"<html>maintenance</html>"),
    "nothing": (200, b""),
    "a list": (200, b"[]"),
    "no keys": (200, b"{}"),
    "keys that are none": (200, b'{"keys": [1]}'),
    "keys of another kind": (200, b'{"keys": [{"kty": "XYZ", "kid": "first"}]}'),
    "a way elsewhere": (302, b""),
    "no text": (200, b"\xff\xfe"),
}


@pytest.mark.parametrize(("status", "content"), BROKEN.values(), ids=BROKEN)
def test_keys_that_cannot_be_had_let_nobody_in_and_are_asked_for_again(
    provider: Provider,
    key: rsa.RSAPrivateKey,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    status: int,
    content: bytes,
) -> None:
    good = provider.content
    provider.status, provider.content = status, content
    known = authority(provider, clock)
    with caplog.at_level(logging.ERROR):
        for _ in range(5):
            assert ask(known, token(key)) is None
    assert len(caplog.records) == provider.asked == 1
    provider.status, provider.content = 200, good
    clock.now += PAUSE_SECONDS
    assert ask(known, token(key)) == CALLER


def test_a_provider_that_is_away_for_a_while_is_not_noticed(
    provider: Provider, key: rsa.RSAPrivateKey, clock: Clock
) -> None:
    known = authority(provider, clock)
    assert ask(known, token(key)) == CALLER
    provider.status = 500
    clock.now += KEYS_SECONDS
    assert ask(known, token(key)) == CALLER
    clock.now += PATIENCE_SECONDS
    assert ask(known, token(key)) is None


def test_a_provider_that_nobody_listens_at_lets_nobody_in(key: rsa.RSAPrivateKey) -> None:
    gone = Provider()
    with gone.answering():
        pass
    assert ask(authority(gone), token(key)) is None


def test_many_tokens_at_once_fetch_the_keys_once(provider: Provider, key: rsa.RSAPrivateKey) -> None:
    known, given = authority(provider), token(key)

    async def test() -> list[Caller | None]:
        return await asyncio.gather(*(known.caller(given) for _ in range(50)))

    assert asyncio.run(test()) == [CALLER] * 50
    assert provider.asked == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://login.example.com/keys",
        "http://127.0.0.1.example.com/keys",
        "http://localhost.example.com/keys",
        "http://127.0.0.1@example.com/keys",
        "file:///etc/passwd",
        "https://",
        "https:///keys",
        "HTTP://example.com",
        "keys",
        "",
        "https://[::1",
    ],
)
def test_keys_are_not_fetched_in_the_clear(url: str) -> None:
    with pytest.raises(ConfigError, match=r"auth\.oidc\.keys_url"):
        SignedTokens(OidcConfig(issuer=ISSUER, audience="fingan", keys_url=url))


@pytest.mark.parametrize("url", ["https://a.example/keys", "http://localhost:8080/keys", "http://[::1]/keys"])
def test_keys_may_come_from_here_or_encrypted(url: str) -> None:
    assert SignedTokens(OidcConfig(issuer=ISSUER, audience="fingan", keys_url=url))
