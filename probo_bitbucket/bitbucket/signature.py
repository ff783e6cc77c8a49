"""The signature of a webhook: `X-Hub-Signature: sha256=<hex>`, an HMAC-SHA256 over the raw body.

https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/ (secure webhooks)
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence

_FORM = re.compile(r"sha256=[0-9a-f]{64}", re.ASCII)


def sign(secret: str, body: bytes) -> str:
    """Return the value of `X-Hub-Signature` for *body*."""
    return "sha256=" + hmac.digest(secret.encode(), body, "sha256").hex()


def verify(secrets: Sequence[str], body: bytes, header: str | None) -> bool:
    """Tell whether *header* was made with one of *secrets*; several are valid while a secret is being replaced.

    Constant time: neither how much of a signature fits nor which secret it was shows in the time taken.
    An empty secret signs nothing, because everybody knows it.
    """
    given = (header or "").strip().encode(errors="replace")
    fits = [hmac.compare_digest(sign(secret, body).encode(), given) for secret in secrets if secret]
    return any(fits)


def well_formed(header: str) -> bool:
    """Tell whether *header* is a signature at all, if only somebody had its secret."""
    return _FORM.fullmatch(header.strip()) is not None
