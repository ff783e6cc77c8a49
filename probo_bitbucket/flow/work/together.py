"""Together: several works side by side, given up together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from twisted.internet.defer import Deferred, FirstError, gatherResults

T = TypeVar("T")


async def together(works: Iterable[Deferred[T]]) -> list[T]:
    """The results of *works*, in their order. Raises what the first one raised that failed.

    Where who waits for them gives up, that is CancelledError of each. Nobody is told of the others' errors.
    """
    try:
        return await gatherResults(works, consumeErrors=True)
    except FirstError as first:
        first.subFailure.raiseException()
