"""Requests to the service: identity, errors, and attempts that wait as long as they are told to."""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from fingan import __version__
from fingan.errors import ConfigError, FinganError, NotFound, UserError
from fingan.types import Json

if TYPE_CHECKING:
    import requests

TOKEN_VARIABLE = "FINGAN_TOKEN"

_ARROW = "application/vnd.apache.arrow.stream"
_REFUSED = frozenset({429, 503})
_AGAIN = _REFUSED | {502, 504}
_LONGEST_WAIT = 60.0
_LONGEST_ASKED = 600.0
"""Seconds; who is told to come back later than that is told at once."""

_TOKEN = re.compile(r"[!-~]*")


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
        if not url.startswith(("http://", "https://")) or not _host(url):
            raise ConfigError(f"{url!r} is no address of a service; write http://host:port or https://host")
        if compression not in (None, "zstd", "gzip"):
            raise ConfigError(f"compression is zstd, gzip or None, got {compression!r}")
        self.url = url.rstrip("/")
        self.attempts, self.sleep = max(1, attempts), sleep
        self._token = (token if token is not None else os.environ.get(TOKEN_VARIABLE, "")).strip()
        if not _TOKEN.fullmatch(self._token):
            raise ConfigError("the token has characters that no token has; was it copied whole, and alone?")
        self._timeout, self._compression = timeout, compression

    def json(self, method: str, path: str, body: Json | None = None, again: bool = True) -> Json:
        """Return an answer of JSON; see `answer`."""
        answer = self.answer(method, path, body, again=again)
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise self.stranger(answer)
        return found

    def listing(self, path: str, name: str) -> list[Json]:
        """Return the list of this name in an answer of JSON."""
        found = self.json("GET", path).get(name)
        if not isinstance(found, list):
            raise ServiceError(f"{self.url} lists no {name}; is it a fingan service?")
        return found

    def stranger(self, answer: requests.Response) -> ServiceError:
        """Return the error for an answer that the service would not give."""
        kind = answer.headers.get("Content-Type", "of no type")
        return ServiceError(f"{self.url} answers {kind}; is it a fingan service?", answer.status_code)

    def answer(
        self, method: str, path: str, body: Json | None = None, stream: bool = False, again: bool = True
    ) -> requests.Response:
        """Return an answer of status 2xx; what may pass is tried again, as the service says.

        Args:
            again: whether a request whose answer was lost may be sent again.

        Raises:
            ServiceError: no such answer, none in time, or one that says to come back much later.
        """
        import requests

        problem: ServiceError | None = None
        for attempt in range(1, self.attempts + 1):
            try:
                answer = requests.request(
                    method,
                    self.url + path,
                    headers=self._headers(stream),
                    auth=self._authorise,
                    data=None if body is None else json.dumps(body),
                    stream=stream,
                    timeout=self._timeout,
                    allow_redirects=False,
                )
            except requests.RequestException as error:
                problem = ServiceError(f"{self.url} does not answer: {type(error).__name__}")
                sent = not isinstance(error, requests.ConnectTimeout)
                # A ValueError is an address or header that cannot be: the next attempt would not help.
                if (sent and not again) or isinstance(error, ValueError):
                    raise problem from error
                wait = pause(attempt)
            else:
                if answer.status_code < 300:
                    return answer
                problem = _problem(answer)
                asked = _retry_after(answer)
                # Behind 502 and 504 the service may have done what it was asked for.
                passing = answer.status_code in (_AGAIN if again else _REFUSED)
                if not passing or (asked is not None and asked > _LONGEST_ASKED):
                    raise problem
                # A little more than asked for, and not the same for all who wait.
                wait = pause(attempt) if asked is None else asked * _random(1.0, 1.2)
            if attempt < self.attempts:
                self.sleep(wait)
        raise problem or ServiceError(f"{self.url} was not asked")

    def _headers(self, stream: bool) -> dict[str, str]:
        headers = {"User-Agent": f"fingan/{__version__}", "Accept": _ARROW if stream else "*/*"}
        headers["Accept-Encoding"] = (self._compression or "identity") if stream else "identity"
        headers["Content-Type"] = "application/json"
        return headers

    def _authorise(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the token; without this, a password in `~/.netrc` would take its place."""
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _problem(answer: requests.Response) -> ServiceError:
    import requests

    try:
        told = answer.json()
        detail, code = str(told["detail"]), str(told["code"])
    except (ValueError, KeyError, TypeError, requests.RequestException):
        detail, code = f"it answered {answer.status_code} {answer.reason}", ""
    kind = ServiceError
    if answer.status_code == 404:
        kind = ServiceNotFound
    elif answer.status_code in (400, 401, 403, 406, 413, 422):
        kind = ServiceUserError
    if answer.status_code == 401:
        detail += f"; give Client a token, or set {TOKEN_VARIABLE}"
    answer.close()
    return kind(detail, answer.status_code, code, answer.headers.get("X-Request-Id", ""))


def _retry_after(answer: requests.Response) -> float | None:
    text = answer.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else None


def pause(failures: int) -> float:
    """Return the seconds before the next attempt: twice as long every time, half of it at random."""
    longest = min(0.25 * 2.0**failures, _LONGEST_WAIT)
    return longest * _random(0.5, 1.0)


def _random(low: float, high: float) -> float:
    return secrets.SystemRandom().uniform(low, high)


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def path_part(name: str) -> str:
    """Return a name as one part of a path."""
    return quote(name, safe=":")
