"""Python reads this at the start of each process that a test starts: what it makes up as a secret has the mark.

It imports nothing of ours, so that such a process does what it would do without it.
"""

from __future__ import annotations

import secrets

MARK = "c4n4ry"
SECRET = 32  # digits
_urlsafe, _hex = secrets.token_urlsafe, secrets.token_hex

secrets.token_urlsafe = lambda nbytes=None: f"{MARK}-{_urlsafe(nbytes)}"


def token_hex(nbytes: int | None = None) -> str:
    """With the mark at its end: the beginning of one of them is no secret (see flow.forwarding.trail).

    Short ones are none at all.
    """
    made = _hex(nbytes)
    return made if len(made) < SECRET else f"{made[: -len(MARK)]}{MARK}"


secrets.token_hex = token_hex
