"""Waits for what another process does: the one place where tests look again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(happened: Callable[[], T], what: str, seconds: float = 30) -> T:
    """Return what *happened* returns as soon as that is true; AssertionError naming *what* after *seconds*."""
    end = time.monotonic() + seconds
    while not (result := happened()):
        assert time.monotonic() < end, f"waited {seconds} seconds in vain: {what}"
        time.sleep(0.02)
    return result
