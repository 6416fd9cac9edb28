"""Signed tokens of an identity provider (OpenID Connect), checked against its published keys."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from fingan.config import OidcConfig
from fingan.errors import ConfigError
from fingan.service.identity import Caller

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures by a private key only: a key that verifies must not be able to sign."""

LEEWAY_SECONDS = 30.0
_LONGEST_NAME = 200
log = logging.getLogger(__name__)


class SignedTokens:
    """An authority that believes an identity provider.

    The signature must be by one of the provider's keys, and issuer, audience and times must be right.
    Keys are fetched when a token names one that is not known yet.

    Args:
        config: of the provider.

    Raises:
        ConfigError: the extra `oidc` is not installed, or keys would be fetched in the clear.
    """

    def __init__(self, config: OidcConfig) -> None:
        try:
            import jwt
        except ImportError as error:
            raise ConfigError("auth.oidc needs an extra: pip install 'fingan[oidc]'") from error
        if not config.keys_url.startswith(("https://", "http://127.0.0.1", "http://localhost")):
            raise ConfigError(f"auth.oidc.keys_url: {config.keys_url!r} must begin with https://")
        self._config, self._jwt = config, jwt
        self._keys = jwt.PyJWKClient(config.keys_url, cache_keys=True, lifespan=600, timeout=5)

    async def caller(self, token: str) -> Caller | None:
        """Return who a token speaks for; None where it is not sound."""
        if token.count(".") != 2:
            return None
        return await asyncio.to_thread(self._caller, token)

    def _caller(self, token: str) -> Caller | None:
        own = self._config
        try:
            key = self._keys.get_signing_key_from_jwt(token)
            claims: dict[str, Any] = self._jwt.decode(
                token,
                key.key,
                algorithms=list(ALGORITHMS),
                audience=own.audience,
                issuer=own.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud"]},
            )
        except self._jwt.PyJWKClientConnectionError:
            log.error("the keys of %s cannot be fetched", own.issuer)
            return None
        except self._jwt.PyJWTError as error:
            log.info("a signed token was refused: %s", type(error).__name__)
            return None
        name = claims.get(own.name_claim)
        if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
            return None
        models = None if own.models_claim is None else _texts(claims.get(own.models_claim))
        return Caller(f"{own.issuer} {name}", models, own.rows_per_minute)


def _texts(claim: object) -> frozenset[str]:
    """Return a claim's list of names; one that is no such list names none."""
    return (
        frozenset(claim)
        if isinstance(claim, list) and all(isinstance(v, str) for v in claim)
        else frozenset()
    )
