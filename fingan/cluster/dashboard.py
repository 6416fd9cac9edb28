"""A dashboard that answers without a token lets anyone run code on the cluster (CVE-2023-48022)."""

from __future__ import annotations

import urllib.error
import urllib.request

from fingan.errors import ConfigError

_PATIENCE_SECONDS = 5.0
_JOBS = "/api/jobs/"


def is_open(url: str) -> bool:
    """Return whether the jobs of a dashboard are listed to those who give no token.

    Args:
        url: of the dashboard, as `http://127.0.0.1:8265`.
    """
    # Without proxies: what a proxy says of the dashboard is not what the dashboard says.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url.rstrip("/") + _JOBS, timeout=_PATIENCE_SECONDS) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        return False
    except OSError:
        # Nobody can do through it what we cannot reach; joining does not need it.
        return False


def refuse_open_dashboard(url: str | None, allowed: bool) -> None:
    """Refuse a cluster whose dashboard asks for no token.

    Args:
        url: of the dashboard; None where there is none.
        allowed: whether the user accepts that.

    Raises:
        ConfigError: it is open, and that is not allowed.
    """
    if url is not None and not allowed and is_open(url):
        raise ConfigError(
            f"the dashboard at {url} answers without a token: anyone who reaches it can run code on "
            "the cluster. Start Ray with RAY_AUTH_MODE=token, or accept it with --allow-open-dashboard"
        )
