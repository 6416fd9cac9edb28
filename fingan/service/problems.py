"""Errors as the service tells them: `application/problem+json` (RFC 9457), without traceback or path."""

from __future__ import annotations

import json
from collections.abc import Mapping

from starlette.responses import Response

from fingan.errors import (
    BundleError,
    ConditionError,
    ConfigError,
    DataError,
    FinganError,
    NotAvailable,
    NotFound,
    StorageError,
)

DETAIL_LENGTH = 4000
"""Of a text, which may repeat what a caller wrote; of a longer one both ends are told."""

MEDIA_TYPE = "application/problem+json"

_TITLES = {
    400: "Bad request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    408: "Too slow",
    409: "Conflict",
    411: "Length required",
    413: "Too large",
    415: "Unsupported media type",
    421: "Misdirected request",
    422: "Cannot be done as asked",
    429: "Too many requests",
    431: "Header too large",
    500: "Internal error",
    503: "Not available now",
}
_KINDS: tuple[tuple[type[FinganError], int, str], ...] = (
    (ConditionError, 422, "condition_error"),
    (NotAvailable, 422, "not_available"),
    (ConfigError, 422, "invalid_request"),
    (NotFound, 404, "not_found"),
    (StorageError, 503, "registry"),
    (BundleError, 503, "model_broken"),
    (DataError, 422, "data_error"),
)


class Refused(FinganError):
    """An answer other than what was asked for.

    Args:
        status: of HTTP.
        code: a word for programs.
        detail: a sentence for people: field, value, remedy.
        retry_after: seconds after which to ask again.
    """

    def __init__(self, status: int, code: str, detail: str, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.retry_after = status, code, detail, retry_after

    def __reduce__(self) -> tuple[type[Refused], tuple[int, str, str, int | None]]:
        """Let it cross from a replica to a front."""
        return Refused, (self.status, self.code, self.detail, self.retry_after)


def refusal(error: FinganError) -> Refused:
    """Return how an error of the library is told over HTTP."""
    if isinstance(error, Refused):
        return error
    for kind, status, code in _KINDS:
        if isinstance(error, kind):
            # The registry's own texts name its place and its other models.
            detail = _OWN_TEXTS.get(kind, str(error))
            return Refused(status, code, detail, 30 if status == 503 else None)
    return Refused(500, "internal_error", INTERNAL)


_OWN_TEXTS: dict[type[FinganError], str] = {
    StorageError: "the registry cannot be read now; ask again",
    BundleError: "this version of the model is damaged and is not served; ask for another version",
    NotFound: "there is no such model or version any more; GET /v1/models lists what there is",
}
INTERNAL = "something went wrong here; tell the operator the request's id, which X-Request-Id holds"


def problem(refused: Refused, headers: Mapping[str, str] | None = None) -> Response:
    """Return a refusal as an answer."""
    body = {
        "type": "about:blank",
        "title": _TITLES.get(refused.status, "Error"),
        "status": refused.status,
        "detail": _shortened(refused.detail),
        "code": refused.code,
    }
    more = dict(headers or {})
    if refused.retry_after is not None:
        more["Retry-After"] = str(max(1, refused.retry_after))
    if refused.status == 401:
        more["WWW-Authenticate"] = 'Bearer realm="fingan"'
    # Texts may repeat what a caller wrote, also half a surrogate pair, which is no UTF-8.
    content = json.dumps(body, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return Response(content, refused.status, more, media_type=MEDIA_TYPE)


def _shortened(detail: str) -> str:
    if len(detail) <= DETAIL_LENGTH:
        return detail
    return f"{detail[: DETAIL_LENGTH // 2]} … {detail[-DETAIL_LENGTH // 2 :]}"
