"""Takes work out of the store, does as much at once as is sensible, and puts back what could not be done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, Protocol, TypeVar, cast

from attrs import define, evolve
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger

from probo_bitbucket.errors import Permanent, Unanswered, UpstreamError
from probo_bitbucket.flow.work.leases import Leases, latest
from probo_bitbucket.flow.work.precedence import Precedence
from probo_bitbucket.flow.work.schedule import Schedule, effort_after
from probo_bitbucket.store import Effort, Lease, LeaseLost, StoreUnavailable

POLL = 1.0  # seconds; work becomes due by itself, and other nodes write some down
STORE_PAUSE = 1.0  # seconds before the store is asked again that could not be reached
UNSETTLED_PAUSE = 60.0  # seconds before the next try to write down what could not be written for another reason
SHARE = 16  # jobs claimed at once, and in hand for a repository that is to wait: so none has twice as many in hand
SLOW_SHARE = 2  # the same while a repository's last call had no answer in time
SLOW_FOR = 900.0  # seconds after which such a repository has its whole share again: as long as its work may rest
BREATH = 0.05  # seconds between two jobs that are begun while deliveries have precedence
PATIENCE = 8.0  # seconds that work on its way may take to end when the service stops


class Job(Protocol):
    @property
    def effort(self) -> Effort: ...


J = TypeVar("J", bound=Job)


class Step(Protocol[J]):
    """One step of a flow, as its worker drives it."""

    name: str
    concurrency: int

    async def claim(self, lease: Lease, limit: int, busy: Collection[str]) -> Sequence[J]:
        """Lease work that is due, but none of the repositories named in *busy*."""

    def repository(self, job: J) -> str:
        """The full name of the repository whose work it is."""

    async def work(self, job: J) -> None:
        """Do it, and write it down. Raises UpstreamError."""

    async def postpone(self, job: J, due_at: float, error: Exception) -> None:
        """Put it back, to be done later. The job's effort counts this try, where it failed."""

    async def give_up(self, job: J, error: Exception) -> None:
        """Write down that it will not be done."""


class Defect(Exception):
    """What is told of an error that nobody expected. Its own message can hold secrets, which only the log hides."""


@define(eq=False, slots=False)
class Worker(Service):
    """Drives one step. `wake` it when there may be something to do."""

    step: Step[Job]
    leases: Leases
    clock: IReactorTime
    schedule: Schedule
    precedence: Precedence

    log = Logger()

    def __attrs_post_init__(self) -> None:
        self._in_hand: set[Deferred[None]] = set()
        self._shares: Counter[str] = Counter()
        self._slow: dict[str, float] = {}  # until when a repository has a smaller share
        self._claiming = False
        self._woken = False
        self._breath: Deferred[None] | None = None
        self._poll = LoopingCall(self.wake)
        self._poll.clock = self.clock

    def startService(self) -> None:
        super().startService()
        self._poll.start(POLL, now=True)

    def stopService(self) -> Deferred[None]:
        """Fires when nothing is in hand any more; what takes longer than PATIENCE is cancelled."""
        super().stopService()
        self._poll.stop()
        if self._breath is not None:
            self._breath.cancel()
        late = self.clock.callLater(PATIENCE, self._cancel)
        ended = DeferredList(list(self._in_hand))
        return ended.addCallback(lambda _: late.cancel() if late.active() else None)

    def _cancel(self) -> None:
        for deferred in list(self._in_hand):
            deferred.cancel()

    def wake(self) -> None:
        """Look for work now. Calls while it is being looked for lead to one more look."""
        self._woken = True
        if not self._claiming and self.running:
            self._claiming = True
            Deferred.fromCoroutine(self._look())

    async def _look(self) -> None:
        try:
            while self._woken and self.running and (free := self.step.concurrency - len(self._in_hand)) > 0:
                self._woken = False
                share = await self._share()
                self._forget_slow()
                busy = [repository for repository, count in self._shares.items() if count >= self._share_of(repository)]
                lease = self.leases.new()
                # Whose jobs will come is not known: there must not be too many for any repository that may be one.
                limit = min(free, share, SHARE if self._slow.keys() <= set(busy) else SLOW_SHARE)
                jobs = await self.step.claim(lease, limit, busy)
                if not self.running:
                    return  # stopped meanwhile: nobody would wait for this work; its lease is given back
                if jobs and self.clock.seconds() > latest(lease.now):
                    self._leave(jobs, lease)
                    continue
                for job in jobs:
                    self._begin(job, lease)
                self._woken = self._woken or len(jobs) == limit  # there may be more
        except CancelledError:
            pass  # stopped while it held back: what is claimed now would not be given back
        except StoreUnavailable as error:
            self.log.error("The store cannot be read", event="store.unavailable", reason=str(error))
        except Exception:  # noqa: BLE001 (the next look must come)
            self.log.failure("Looking for work failed", event="worker.failed")
        finally:
            self._claiming = False

    def _leave(self, jobs: Sequence[Job], lease: Lease) -> None:
        """Begin nothing of what was taken too long ago: its lease runs out, or has done so."""
        seconds = self.clock.seconds() - lease.now
        words = "This node stood still for {seconds:.0f} s: what it took is left to whoever looks next"
        self.log.warn(words, event="worker.late", step=self.step.name, seconds=seconds, count=len(jobs))

    async def _share(self) -> int:
        """How many jobs may be claimed now. While deliveries have precedence work goes on, but slowly."""
        if not self.precedence.claimed:
            return SHARE
        self._breath = deferLater(self.clock, BREATH)
        await self._breath
        return 1

    def _forget_slow(self) -> None:
        now = self.clock.seconds()
        self._slow = {repository: until for repository, until in self._slow.items() if now < until}

    def _share_of(self, repository: str) -> int:
        return SLOW_SHARE if repository in self._slow else SHARE

    def _begin(self, job: Job, lease: Lease) -> None:
        self.leases.hold(lease)
        share = Counter([self.step.repository(job)])
        self._shares += share
        doing = Deferred.fromCoroutine(self._do(job))
        self._in_hand.add(doing)
        doing.addBoth(lambda _: self._end(doing, share, lease))

    def _end(self, doing: Deferred[None], share: Counter[str], lease: Lease) -> None:
        self.leases.let_go(lease)
        self._in_hand.discard(doing)
        self._shares -= share
        self.wake()

    async def _do(self, job: Job) -> None:
        try:
            await self.step.work(job)
            self._slow.pop(self.step.repository(job), None)
        except (CancelledError, LeaseLost):
            return  # the service stops, and the lease comes free; or another node has the job
        except Exception as error:  # noqa: BLE001 (nothing that goes wrong may lose the job)
            if isinstance(error, Unanswered):
                self._slow[self.step.repository(job)] = self.clock.seconds() + SLOW_FOR
            if isinstance(error, UpstreamError | StoreUnavailable):
                await self._settle(job, error)
            else:
                self.log.failure("A step failed unexpectedly", event="step.failed", step=self.step.name)
                await self._settle(job, Defect(f"unexpected {type(error).__name__}, see the log"))

    async def _settle(self, job: Job, error: Exception) -> None:
        """Put the job back or give it up, however long it takes until the store can be written."""
        now = self.clock.seconds()
        due_at = None if isinstance(error, Permanent) else self.schedule.due_at(job.effort, error, now)
        job = evolve(cast(Any, job), effort=effort_after(job.effort, error, now))
        while True:
            try:
                if due_at is None:
                    await self.step.give_up(job, error)
                else:
                    await self.step.postpone(job, due_at, error)
            except CancelledError:
                raise  # the service stops, and the lease comes free
            except StoreUnavailable:
                await deferLater(self.clock, STORE_PAUSE)
            except Exception:  # noqa: BLE001 (the lease is renewed for ever: nobody else would look at the job again)
                self.log.failure("An outcome was not written down", event="step.unsettled", step=self.step.name)
                await deferLater(self.clock, UNSETTLED_PAUSE)
            else:
                return
