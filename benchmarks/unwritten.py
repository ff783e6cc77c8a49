"""The daemon as twistd runs it, but it writes no delivery down: what the store costs is what is missing here."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred, succeed
from twisted.scripts.twistd import run

from probo_bitbucket.assembly import entrance
from probo_bitbucket.flow.deliveries.intake import Intake
from probo_bitbucket.store import Database


class NoStore:
    """Says that it is done, at once."""

    def transact(self, *_: Any) -> Deferred[int]:
        return succeed(1)


class Forgetful(Intake):
    """Checks and parses as the real one."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.store = cast(Database, NoStore())
        self.wake = lambda: None


if __name__ == "__main__":
    vars(entrance)["Intake"] = Forgetful
    run()
