"""Prints the play: a line an event, with the seconds since it began; plain text where there is no terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TextIO

from rich.console import Console
from rich.text import Text
from twisted.internet.interfaces import IReactorTime

from probo_bitbucket.logs import escape
from probo_bitbucket.sandbox.narrator import Event
from probo_bitbucket.sandbox.pullrequest import PullRequest
from probo_bitbucket.sandbox.statuses import BuildStatus, State

COLOURS = {State.SUCCESSFUL: "green", State.INPROGRESS: "blue", State.FAILED: "red", State.STOPPED: "yellow"}


class Programme:
    """Writes to *stream*; *clock* tells the time."""

    def __init__(self, stream: TextIO, clock: IReactorTime) -> None:
        self._console = Console(file=stream, highlight=False)
        self._clock = clock
        self._began = clock.seconds()

    def say(self, text: str = "", style: str = "") -> None:
        """Write a line of whatever length."""
        self._console.print(Text(escape(text), style), soft_wrap=True)

    def announce(self, addresses: Mapping[str, object]) -> None:
        """Say where everything is to be found."""
        for name, address in addresses.items():
            self.say(f"{name:<17} {address}")
        self.say()

    def tell(self, event: Event) -> None:
        seconds = self._clock.seconds() - self._began
        line = Text.assemble(
            (f"{seconds:6.2f}  ", "dim"),
            (f"{event.actors:<18}  ", "cyan"),
            (escape(event.text), COLOURS[event.status.state] if event.status else ""),
        )
        self._print(line)

    def show(self, pull_request: PullRequest) -> None:
        """Write all statuses of *pull_request*, as its page shows them."""
        statuses = pull_request.shown()
        self.say()
        self.say(f"Pull request #{pull_request.number} at {pull_request.commit[:12]}: {_count(statuses)}", "bold")
        for status in sorted(statuses, key=lambda status: status.created_on):
            self._print(Text.assemble("  ", (f"{status.state:<10}", COLOURS[status.state]), f"  {escape(status.name)}"))
        self.say()

    def _print(self, line: Text) -> None:
        """Cut *line* off at the edge of a terminal, but never elsewhere."""
        if self._console.is_terminal:
            self._console.print(line, no_wrap=True, overflow="ellipsis")
        else:
            self._console.print(line, soft_wrap=True)


def _count(statuses: list[BuildStatus]) -> str:
    successful = sum(status.state is State.SUCCESSFUL for status in statuses)
    if successful == len(statuses):
        return f"all {successful} statuses are SUCCESSFUL"
    return f"{successful} of {len(statuses)} statuses are SUCCESSFUL"
