"""Announcement: the statuses that we report in our own name, under the same `env` as the Container Manager's."""

from __future__ import annotations

from attrs import frozen

from probo_bitbucket.flow.desire import Subject, take
from probo_bitbucket.model import Build, Phase, Update
from probo_bitbucket.store import Transaction


@frozen
class Announcement:
    """Speaks about builds. *instance_name* is the prefix of all contexts, as in the Container Manager's settings."""

    instance_name: str
    build_url: str
    site_url: str

    def failed(self, tx: Transaction, build: Build, description: str, now: float) -> None:
        """Show the author that the environment will not be there, and why."""
        update = Update(
            build_id=build.id,
            context=f"{self.instance_name}/env",
            phase=Phase.FAILED,
            state="error",
            description=description,
            final=True,
        )
        take(tx, Subject.of(build, self.build_url), update, now, self.site_url)
