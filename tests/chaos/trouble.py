"""The trouble: what goes wrong at Bitbucket and at the Container Manager, something else every second or so."""

from __future__ import annotations

from random import Random

from probo_bitbucket.sandbox.faults import HTML, Answer, Cut, Effect, Fault, Faults, Hang, LoseAnswer, Slow, Truncated

PAGE = b"<html><title>Down for maintenance</title></html>"
EFFECTS: tuple[Effect, ...] = (
    Answer(500, b'{"error": "Something went wrong"}', {"Content-Type": "application/json"}),
    Answer(502, PAGE, HTML),
    Answer(503, PAGE, {**HTML, "Retry-After": "1"}),
    Answer(429, b"Rate limit for this resource has been exceeded", {"Retry-After": "1"}),
    Cut(),
    LoseAnswer(),
    Truncated(),
    Hang(),
    Slow(0.5),
    Slow(2.0),
)
# A page with status 200 in place of the answer of an API. (In place of a file it could not be told from a file.)
MASKED = Answer(200, PAGE, HTML)

# What is asked of Bitbucket and of the Container Manager by us, and nothing that they ask of each other.
BITBUCKET = r"/2\.0/.*|/site/oauth2/access_token"
STATUSES = r"/2\.0/.*/statuses/build"
CONTAINER_MANAGER = r"/startbuild|/builds/.*"


class Trouble:
    """Changes the faults of both upstreams at each `change`."""

    def __init__(self, bitbucket: Faults, container_manager: Faults, random: Random) -> None:
        self._upstreams = ((bitbucket, BITBUCKET, STATUSES), (container_manager, CONTAINER_MANAGER, CONTAINER_MANAGER))
        self._random = random

    def change(self) -> None:
        """Put other faults in the place of those that there are: none, some, or one that hits every request."""
        for faults, everything, documents in self._upstreams:
            faults.clear()
            if self._random.random() < 0.1:
                faults.add(Fault(self._random.choice(EFFECTS), everything))
                continue
            for effect in self._random.sample(EFFECTS, self._random.randint(0, 5)):
                faults.add(Fault(effect, everything, chance=self._random.uniform(0.02, 0.3)))
            faults.add(Fault(MASKED, documents, chance=0.05))

    def end(self) -> None:
        for faults, *_ in self._upstreams:
            faults.clear()
