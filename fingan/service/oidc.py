"""Signed tokens of an identity provider (OpenID Connect), checked against its published keys."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from fingan.config import OidcConfig
from fingan.errors import ConfigError
from fingan.service.identity import Caller

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures by a private key only: a key that verifies must not be able to sign."""

LEEWAY_SECONDS = 30.0
KEYS_SECONDS = 600.0
"""Keys are fetched again after so long: one that the provider withdrew is believed no longer than that."""

PATIENCE_SECONDS = 3600.0
"""Known keys are believed for so long while no others can be fetched."""

PAUSE_SECONDS = 10.0
"""Between two attempts to fetch keys, whatever strangers send."""

_LONGEST_NAME = 200
log = logging.getLogger(__name__)


class SignedTokens:
    """An authority that believes an identity provider.

    The signature must be by one of the provider's keys, and issuer, audience and times must be right.

    Args:
        config: of the provider.
        clock: seconds, never going back.

    Raises:
        ConfigError: the extra `oidc` is not installed, or keys would be fetched in the clear.
    """

    def __init__(self, config: OidcConfig, clock: Callable[[], float] = time.monotonic) -> None:
        try:
            import jwt
        except ImportError as error:
            raise ConfigError("auth.oidc needs an extra: pip install 'fingan[oidc]'") from error
        if not _is_private(config.keys_url):
            raise ConfigError(f"auth.oidc.keys_url: {config.keys_url!r} must begin with https://")
        self._config, self._jwt = config, jwt
        self._keys = _Keys(jwt.PyJWKClient(config.keys_url, cache_jwk_set=False, timeout=5), clock)
        # Of its own: what waits for a provider must not hold up what waits for files.
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="oidc")

    async def caller(self, token: str) -> Caller | None:
        """Return who a token speaks for; None where it is not sound."""
        if token.count(".") != 2:
            return None
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._caller, token)

    def _caller(self, token: str) -> Caller | None:
        own = self._config
        try:
            key = self._keys.find(self._jwt.get_unverified_header(token).get("kid"))
            if key is None:
                return None
            claims: dict[str, Any] = self._jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                audience=own.audience,
                issuer=own.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud"]},
            )
        except Exception as error:
            # Not only the library's own: a key of another kind than the token says is a TypeError.
            log.info("a signed token was refused: %s", type(error).__name__)
            return None
        name = claims.get(own.name_claim)
        if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
            return None
        models = None if own.models_claim is None else _texts(claims.get(own.models_claim))
        return Caller(f"{own.issuer} {name}", models, own.rows_per_minute)


class _Keys:
    """The keys that a provider publishes, by their names."""

    def __init__(self, client: Any, clock: Callable[[], float]) -> None:
        self._client, self._clock, self._lock = client, clock, threading.Lock()
        self._known: dict[str, Any] = {}
        self._fetched = self._tried = float("-inf")

    def find(self, name: object) -> Any:
        """Return a key; None where there is none of that name."""
        if not isinstance(name, str):
            return None
        with self._lock:
            now = self._clock()
            wanted = now - self._fetched >= KEYS_SECONDS or name not in self._known
            if wanted and now - self._tried >= PAUSE_SECONDS:
                self._tried = now
                self._fetch(now)
            return self._known.get(name)

    def _fetch(self, now: float) -> None:
        try:
            self._known = {str(key.key_id): key.key for key in self._client.get_signing_keys()}
            self._fetched = now
        except Exception as error:
            log.error("the keys at %s cannot be fetched: %s", self._client.uri, type(error).__name__)
            if now - self._fetched >= PATIENCE_SECONDS:
                self._known = {}


def _is_private(url: str) -> bool:
    """Tell whether nobody between here and a URL's host can read or change what is sent."""
    try:
        parts = urlsplit(url)
        own = parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1", "::1")
        return own or (parts.scheme == "https" and bool(parts.hostname))
    except ValueError:
        return False


def _texts(claim: object) -> frozenset[str]:
    """Return a claim's list of names; one that is no such list names none."""
    return (
        frozenset(claim)
        if isinstance(claim, list) and all(isinstance(v, str) for v in claim)
        else frozenset()
    )
