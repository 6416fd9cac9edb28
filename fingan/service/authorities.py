"""Who is let in, as configured."""

from __future__ import annotations

import os
from pathlib import Path

from fingan.config import AuthConfig, ServiceConfig
from fingan.errors import ConfigError
from fingan.service.identity import TOKEN_FILE_VARIABLE, Authority, Either, TokenFile


def configured(auth: AuthConfig, token_file: str | Path | None = None) -> Authority | None:
    """Return who knows callers; None where nothing is configured.

    Args:
        auth: token file and identity provider.
        token_file: instead of the configured one; the environment's where there is neither.

    Raises:
        ConfigError: a token file or a provider that cannot be used.
    """
    known: list[Authority] = []
    path = token_file or auth.token_file or os.environ.get(TOKEN_FILE_VARIABLE)
    if path:
        known.append(TokenFile(path))
    if auth.oidc is not None:
        from fingan.service.oidc import SignedTokens

        known.append(SignedTokens(auth.oidc))
    return Either(*known) if known else None


def authority_of(config: ServiceConfig) -> Authority:
    """Return who knows callers of a service behind Ray Serve's proxy, whose address is not known here.

    Raises:
        ConfigError: everybody would be let in, or nobody; or who knows them cannot be used.
    """
    if not config.auth.required:
        raise ConfigError(
            "auth.required: False would let everybody in who reaches Ray Serve's proxy; take it out and set "
            "auth.token_file or auth.oidc, or use `fingan serve --no-auth`, which listens on loopback only"
        )
    known = configured(config.auth)
    if known is None:
        raise ConfigError(
            f"nobody could be let in: set auth.token_file or {TOKEN_FILE_VARIABLE} (`fingan serve "
            "--add-token NAME --token-file FILE` makes an entry), or auth.oidc"
        )
    return known
