"""Commander: carries out what people with the right to write ask for in comments, and tells them where it did not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from probo_bitbucket import origins
from probo_bitbucket.bitbucket.api import Bitbucket
from probo_bitbucket.errors import Permanent
from probo_bitbucket.flow.deliveries.by_hand import ByHand
from probo_bitbucket.model import Comment, Commented, Repository
from probo_bitbucket.store import Database, Lease, Transaction, commands
from probo_bitbucket.store.commands import StoredCommand

REMEMBERED = 600.0  # seconds that a right to write is taken for granted …
REFUSED = 60.0  # … and that it is not asked for again, where there is none


@define(eq=False)
class Commander:
    """The step from a command to what it asks for. *wake* tells the other steps that there is something to do."""

    store: Database
    clock: IReactorTime
    bitbucket: Bitbucket
    by_hand: ByHand
    wake: Callable[[], None]
    _known: dict[tuple[str, str], tuple[bool, float]] = field(factory=dict, init=False)  # who may, until when

    name = "commander"
    concurrency = 4
    log = Logger()

    async def claim(self, lease: Lease, limit: int, busy: Collection[str]) -> Sequence[StoredCommand]:
        return await self.store.transact(commands.claim_pending, lease, limit, busy=busy)

    def repository(self, job: StoredCommand) -> str:
        return job.comment.repository.full_name

    async def work(self, job: StoredCommand) -> None:
        answer = job.answer if job.answer is not None else await self._decided(job)
        if answer:
            await self._tell(job.comment, answer)
            await self.store.transact(commands.finish, job)

    async def _decided(self, job: StoredCommand) -> str:
        """Carry it out once. Returns what is to be said of it: nothing where the statuses show it."""
        refusal = await self._refusal(job.comment)
        answer = await self.store.transact(self._carry_out, job, refusal)
        words = "Command carried out" if not answer else "Command not carried out"
        self.log.info(words, event="command.decided", **_fields(job, answer))
        self.wake()
        return answer

    def _carry_out(self, tx: Transaction, job: StoredCommand, refusal: str) -> str:
        if not commands.undecided(tx, job):
            return ""  # another node has done it
        now = self.clock.seconds()
        answer = refusal or self.by_hand.carry_out(tx, job, now)
        commands.decide(tx, job, answer)
        return answer

    async def _refusal(self, comment: Commented) -> str:
        """Why the author may not give commands; empty if they may."""
        try:
            if await self._may_write(comment.repository, comment.author_id):
                return ""
        except Permanent as error:
            return f"I could not find out who can write to this repository: {error}"
        return "Only people who can write to this repository can give commands."

    async def _may_write(self, repository: Repository, user: str) -> bool:
        if not user:
            return False
        now, key = self.clock.seconds(), (repository.full_name, user)
        self._known = {key: known for key, known in self._known.items() if known[1] > now}
        if key not in self._known:
            may = await self.bitbucket.may_write(repository, user)
            self._known[key] = (may, now + (REMEMBERED if may else REFUSED))
        return self._known[key][0]

    async def _tell(self, comment: Commented, answer: str) -> None:
        """Answer once: the answer to an earlier try may have been lost."""
        mark = f"[//]: # (probo-bitbucket answers {comment.comment_id})"
        written = Comment(comment.repository, comment.number, f"{answer}\n\n{mark}")
        if not await self.bitbucket.comments_with(written, mark):
            await self.bitbucket.add_comment(written)

    async def postpone(self, job: StoredCommand, due_at: float, error: Exception) -> None:
        self.log.info("Command not carried out yet", event="command.postponed", **_fields(job, str(error)))
        await self.store.transact(commands.postpone, job, due_at=due_at, error=str(error))

    async def give_up(self, job: StoredCommand, error: Exception) -> None:
        self.log.warn("Command given up", event="command.failed", **_fields(job, str(error)))
        await self.store.transact(commands.finish, job, str(error))


def _fields(job: StoredCommand, reason: str) -> dict[str, Any]:
    return {
        "delivery": origins.delivery_of(job.origin),
        "repository": job.comment.repository.full_name,
        "pull_request": job.comment.number,
        "command": job.command,
        "reason": reason or None,
    }
