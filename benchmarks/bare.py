"""A yardstick for the machine: a Klein route that checks a signature, reads JSON, and does nothing with it.

`python -m benchmarks.bare SETTINGS PORT`: the same settings file.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
from pathlib import Path
from typing import Any, cast

from klein import Klein
from twisted.web.http import Request

from benchmarks.serving import serve


class Bare:
    app = Klein()

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    @app.route("/bitbucket-webhook", methods=["POST"])
    def webhook(self, request: Request) -> bytes:
        body = cast(Any, request).content.read()
        signed = f"sha256={hmac.new(self._secret, body, hashlib.sha256).hexdigest()}"
        if not hmac.compare_digest(signed, request.getHeader("x-hub-signature") or ""):
            request.setResponseCode(403)
        json.loads(body)
        request.setHeader("content-length", "2")
        return b"{}"


if __name__ == "__main__":
    settings, port = sys.argv[1:]
    serve(Bare(json.loads(Path(settings).read_bytes())["bbWebhookSecret"]).app.resource(), int(port))
