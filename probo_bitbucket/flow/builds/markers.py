"""Markers: what authors write into a title or a commit message to have something built, or not."""

from __future__ import annotations

from collections.abc import Iterable

BUILD_MARKER = "[build]"
SKIP_MARKERS = ("[skip ci]", "[ci skip]", "[skip probo]")


def skip_marker(text: str) -> str:
    """The marker in *text* that asks for no build, empty if there is none."""
    return next((marker for marker in SKIP_MARKERS if marker in text.lower()), "")


def asks_for_build(messages: Iterable[str]) -> bool:
    return any(BUILD_MARKER in message.lower() for message in messages)
