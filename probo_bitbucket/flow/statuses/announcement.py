"""Announcement: the statuses that we report in our own name, under the same `env` as the Container Manager's."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from probo_bitbucket.flow.statuses.desire import Subject, take
from probo_bitbucket.flow.statuses.display import Display
from probo_bitbucket.model import Build, Phase, Update
from probo_bitbucket.store import Transaction


@frozen
class Announcement:
    """Speaks about builds."""

    display: Display

    def failed(self, tx: Transaction, build: Build, description: str, now: float) -> None:
        """Show the author that the environment will not be there, and why."""
        self._say(tx, build, "env", Phase.FAILED, description, now)

    def advised(self, tx: Transaction, build: Build, warnings: Sequence[str], now: float) -> None:
        """Show the author what the configuration says without effect. It is no failure: nothing must block a merge."""
        self._say(tx, build, "configuration", Phase.SUCCEEDED, f"Please check: {' '.join(warnings)}", now)

    def refused(self, tx: Transaction, build: Build, words: str, now: float) -> None:
        """Show the author why there will be no build, where the environment's status would be."""
        self._say(tx, build, "env", Phase.STOPPED, words, now, build_url="")

    def _say(
        self,
        tx: Transaction,
        build: Build,
        what: str,
        phase: Phase,
        description: str,
        now: float,
        *,
        build_url: str | None = None,
    ) -> None:
        update = Update(
            build_id=build.id,
            context=f"{self.display.instance_name}/{what}",
            phase=phase,
            state=phase,
            description=description,
            final=True,
        )
        subject = Subject.of(build, self.display.build_url if build_url is None else build_url)
        take(tx, subject, update, now, self.display)
