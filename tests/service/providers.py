"""An identity provider that runs, and tokens that it could have signed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

ISSUER = "https://login.example.com/"


class Provider:
    """Publishes keys over HTTP.

    Attributes:
        content, status: of its answers.
        asked: how often.
    """

    def __init__(self) -> None:
        self.content, self.status, self.asked = b"", 200, 0
        own = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                own.asked += 1
                self.send_response(own.status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()
                self.wfile.write(own.content)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/keys"

    def publish(self, *keys: dict[str, Any]) -> None:
        self.content = json.dumps({"keys": list(keys)}).encode()

    @contextmanager
    def answering(self) -> Iterator[None]:
        thread = threading.Thread(target=lambda: self._server.serve_forever(0.01))
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


def public(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, kid: str, **more: Any) -> dict[str, Any]:
    """Return a key as a provider publishes it."""
    algorithm = (
        jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    )
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig", **more}


def token(key: Any, kid: str | None = "first", algorithm: str = "RS256", **claims: Any) -> str:
    """Return a token; a claim that is None is left out."""
    own = {"sub": "anna", "iss": ISSUER, "aud": "fingan", "exp": int(time.time()) + 600, **claims}
    headers = {} if kid is None else {"kid": kid}
    body = json.dumps({name: v for name, v in own.items() if v is not None}).encode()
    return jwt.PyJWS().encode(body, key, algorithm, headers)
