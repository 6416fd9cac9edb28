"""What `--address` names: a Ray to join, or the dashboard of one to submit a job to."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from fingan.errors import ConfigError

_PATIENCE_SECONDS = 5.0


@dataclass(frozen=True)
class Address:
    """Where a Ray runs.

    Attributes:
        text: `auto`, `host:port` or a URL of its dashboard.
    """

    text: str

    @property
    def is_dashboard(self) -> bool:
        """Whether jobs are submitted there, rather than the Ray joined."""
        return self.text.startswith(("http://", "https://"))

    def knock(self) -> None:
        """Open a connection and close it: Ray itself would try for a minute, and then end the process.

        Raises:
            ConfigError: it cannot be read, or nothing answers there.
        """
        text = os.environ.get("RAY_ADDRESS", self.text) if self.text == "auto" else self.text
        if text == "auto":
            return
        host, _, port = text.rpartition(":")
        if not host or not port.isdecimal():
            raise ConfigError(f"cannot read --address {text!r}; write auto or host:port, as in 10.0.0.5:6379")
        try:
            socket.create_connection((host.strip("[]"), int(port)), _PATIENCE_SECONDS).close()
        except (OSError, OverflowError) as error:
            raise ConfigError(f"no Ray answers at {text!r}: {error}") from error
