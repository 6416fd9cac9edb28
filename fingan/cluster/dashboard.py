"""A dashboard that answers without a token lets anyone run code on the cluster (CVE-2023-48022)."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from http.client import HTTPException, InvalidURL
from typing import Any

from fingan.errors import ConfigError

_PATIENCE_SECONDS = 5.0
_JOBS = "/api/jobs/"


class _Stay(urllib.request.HTTPRedirectHandler):
    """Takes a redirect, as to a page to log in, for the answer that it is: not the jobs."""

    def redirect_request(self, *given: Any) -> None:
        """Follow nothing."""


def is_open(url: str) -> bool:
    """Return whether the jobs of a dashboard are listed to those who give no token.

    Nobody can do through it what we cannot reach: where nothing answers, it is not open.

    Args:
        url: of the dashboard, as `http://127.0.0.1:8265`.

    Raises:
        ConfigError: it is no URL, or what answers there does not let us know.
    """
    # Without proxies: what a proxy says of the dashboard is not what the dashboard says.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay)
    try:
        with opener.open(url.rstrip("/") + _JOBS, timeout=_PATIENCE_SECONDS) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        return False
    except urllib.error.URLError as error:
        if not isinstance(error.reason, ssl.SSLError):
            return False
        trouble: object = error.reason
    except (InvalidURL, ValueError) as error:
        raise ConfigError(
            f"cannot read --address {url!r}: {error}; write the dashboard's URL, as http://127.0.0.1:8265"
        ) from error
    except (HTTPException, OSError) as error:
        trouble = error
    raise ConfigError(
        f"cannot tell whether what answers at {url} asks for a token: {trouble!r}; check that it is the "
        "port of the dashboard (8265, unless set otherwise), or go on regardless with --allow-open-dashboard"
    )


def refuse_open_dashboard(url: str | None, allowed: bool) -> None:
    """Refuse a cluster whose dashboard asks for no token.

    Args:
        url: of the dashboard; None where there is none.
        allowed: whether the user accepts that.

    Raises:
        ConfigError: it is open, or may be, and that is not allowed.
    """
    if url is not None and not allowed and is_open(url):
        raise ConfigError(
            f"the dashboard at {url} answers without a token: anyone who reaches it can run code on "
            "the cluster. Start Ray with RAY_AUTH_MODE=token, or accept it with --allow-open-dashboard"
        )
