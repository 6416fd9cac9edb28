"""Requests to the service: identity, errors, and attempts that wait as long as they are told to."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import quote

from fingan import __version__
from fingan.errors import ConfigError, FinganError, NotFound, UserError
from fingan.types import Json

if TYPE_CHECKING:
    import requests

TOKEN_VARIABLE = "FINGAN_TOKEN"

_ARROW = "application/vnd.apache.arrow.stream"
_AGAIN = frozenset({429, 502, 503, 504})
_LONGEST_WAIT = 60.0


class ServiceError(FinganError):
    """The service refused or failed.

    Attributes:
        status: of HTTP; 0 where there was no answer.
        code: a word for programs.
        request: the request's id, for the operator.
    """

    def __init__(self, message: str, status: int = 0, code: str = "", request: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.request = status, code, request


class ServiceUserError(ServiceError, UserError):
    """The service refused what the caller can mend."""


class ServiceNotFound(ServiceError, NotFound):
    """The service has no such model, version, alias or job."""


class Transport:
    """Sends requests to one service.

    Args:
        url: of the service, as `https://fingan.example.com`.
        token: to be let in; `FINGAN_TOKEN` where None.
        timeout: seconds without a byte after which a connection counts as broken.
        attempts: tries of a request that is refused for a while.
        compression: `zstd` or `gzip` for streams; None for none.
        sleep: waits between attempts.

    Raises:
        ConfigError: a URL that is none, or an unknown compression.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        timeout: float = 60.0,
        attempts: int = 6,
        compression: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"{url!r} is no address of a service; write http://host:port or https://host")
        if compression not in (None, "zstd", "gzip"):
            raise ConfigError(f"compression is zstd, gzip or None, got {compression!r}")
        self.url = url.rstrip("/")
        self.attempts, self.sleep = max(1, attempts), sleep
        self._token = token if token is not None else os.environ.get(TOKEN_VARIABLE)
        self._timeout, self._compression = timeout, compression

    def json(self, method: str, path: str, body: Json | None = None, again: bool = True) -> Json:
        """Return an answer of JSON; see `answer`."""
        found: Json = self.answer(method, path, body, again=again).json()
        return found

    def answer(
        self, method: str, path: str, body: Json | None = None, stream: bool = False, again: bool = True
    ) -> requests.Response:
        """Return an answer of status 2xx; what may pass is tried again, as the service says.

        Args:
            again: whether a request whose answer was lost may be sent again.
        """
        import requests

        problem: ServiceError | None = None
        for attempt in range(1, self.attempts + 1):
            try:
                answer = requests.request(
                    method,
                    self.url + path,
                    headers=self._headers(stream),
                    data=None if body is None else json.dumps(body),
                    stream=stream,
                    timeout=self._timeout,
                    allow_redirects=False,
                )
            except requests.RequestException as error:
                problem = ServiceError(f"{self.url} does not answer: {type(error).__name__}")
                if not again and not isinstance(error, requests.ConnectTimeout):
                    raise problem from error
                wait = pause(attempt)
            else:
                if answer.status_code < 300:
                    return answer
                problem = _problem(answer)
                if answer.status_code not in _AGAIN:
                    raise problem
                wait = _retry_after(answer) or pause(attempt)
            if attempt < self.attempts:
                self.sleep(min(wait, _LONGEST_WAIT))
        raise problem or ServiceError(f"{self.url} was not asked")

    def _headers(self, stream: bool) -> dict[str, str]:
        headers = {"User-Agent": f"fingan/{__version__}", "Accept": _ARROW if stream else "*/*"}
        headers["Accept-Encoding"] = (self._compression or "identity") if stream else "identity"
        headers["Content-Type"] = "application/json"
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        return headers


def _problem(answer: requests.Response) -> ServiceError:
    try:
        told = answer.json()
        detail, code = str(told["detail"]), str(told["code"])
    except (ValueError, KeyError, TypeError):
        detail, code = f"it answered {answer.status_code} {answer.reason}", ""
    kind = ServiceError
    if answer.status_code == 404:
        kind = ServiceNotFound
    elif answer.status_code in (400, 401, 403, 406, 413, 422):
        kind = ServiceUserError
    if answer.status_code == 401:
        detail += f"; give Client a token, or set {TOKEN_VARIABLE}"
    return kind(detail, answer.status_code, code, answer.headers.get("X-Request-Id", ""))


def _retry_after(answer: requests.Response) -> float | None:
    text = answer.headers.get("Retry-After", "")
    # A little more than asked for, and not the same for all who wait.
    return float(text) * secrets.SystemRandom().uniform(1.0, 1.2) if text.isdecimal() else None


def pause(failures: int) -> float:
    """Return the seconds before the next attempt: twice as long every time, half of it at random."""
    longest = min(0.25 * 2.0**failures, _LONGEST_WAIT)
    return longest * secrets.SystemRandom().uniform(0.5, 1.0)


def path_part(name: str) -> str:
    """Return a name as one part of a path."""
    return quote(name, safe=":")
