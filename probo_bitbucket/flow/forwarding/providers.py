"""Providers: tells what is meant for the handlers of other providers, keeps it for them, and asks them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from probo_bitbucket.errors import Temporary
from probo_bitbucket.flow.forwarding.trail import Trail
from probo_bitbucket.flow.work.patience import in_time
from probo_bitbucket.model import ForwardedUpdate
from probo_bitbucket.probo.handlers import OtherHandler
from probo_bitbucket.probo.updates import Reported
from probo_bitbucket.store import Database, forwarded
from probo_bitbucket.upstream import Answer

OURS = ("", "bitbucket")  # `project.provider.type` that is ours, or not told


@define(eq=False)
class Providers:
    """*handlers* go by provider. *wake* tells the forwarding step that there is an update."""

    store: Database
    clock: IReactorTime
    handlers: Mapping[str, OtherHandler]
    trail: Trail
    wake: Callable[[], None]
    _strangers: set[str] = field(factory=set)

    log = Logger()

    async def accept(self, reported: Reported, path: str, content_type: str, body: bytes, trail: str) -> bool:
        """Write an update down where another handler is to have it. Returns whether one is.

        *trail* is the one that it came by. Raises GoingRound or StoreUnavailable.
        """
        if reported.provider not in self.handlers:
            self._warn(reported.provider)
            return False
        update = ForwardedUpdate(
            provider=reported.provider,
            build_id=reported.update.build_id,
            context=reported.update.context,
            repository=reported.project_slug,
            path=path,
            content_type=content_type,
            body=body,
            received_at=self.clock.seconds(),
            trail=await self.trail.beyond(trail, reported.provider),
        )
        await in_time(self.store.transact(forwarded.record, update), self.clock)
        self.wake()
        return True

    def _warn(self, provider: str) -> None:
        """Say once that a provider is neither ours nor anybody else's."""
        if provider in OURS or provider in self._strangers:
            return
        self._strangers.add(provider)
        self.log.warn(
            "Updates of builds for {upstream} are taken for Bitbucket's: give the URL of its handler under `forward`",
            event="forward.missing",
            upstream=provider,
        )

    async def ask(self, provider: str, path: str, trail: str) -> Answer:
        """The answer of a provider's handler, a JSON object whatever its status.

        *trail* is the one that the question came by. Raises UpstreamError, GoingRound or StoreUnavailable.
        """
        return await self.handlers[provider].get(path, await self.trail.beyond(trail, provider))

    async def of_repository(self, full_name: str, provider_id: str) -> str:
        """The provider whose repository the Reaper means, empty for Bitbucket.

        The Reaper does not name it. But Bitbucket's ids are UUIDs, and those of the others are numbers. Among several
        others it is the one that had an update of this repository last. Raises Temporary where there was none.
        """
        if not self.handlers or not (provider_id.isascii() and provider_id.isdigit()):
            return ""
        if len(self.handlers) == 1:
            return next(iter(self.handlers))
        provider = await self.store.transact(forwarded.provider_of, full_name)
        if provider is None or provider not in self.handlers:
            raise Temporary(f"it is not known which of {', '.join(self.handlers)} has the repository {full_name[:260]}")
        return provider
