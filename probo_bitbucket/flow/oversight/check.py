"""Check: looks at everything that has to work together, and says of each part how it is and what to do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from email.utils import parsedate_to_datetime

from attrs import define, evolve
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from probo_bitbucket.errors import UpstreamError
from probo_bitbucket.flow.credentials.accounts import Accounts, OwnAccounts
from probo_bitbucket.flow.credentials.chain import sharing
from probo_bitbucket.flow.deliveries.signatures import UNSIGNED, Signatures
from probo_bitbucket.flow.oversight.build_side import BuildSide
from probo_bitbucket.flow.oversight.front_door import SUBJECT as PUBLIC_URL
from probo_bitbucket.flow.oversight.front_door import FrontDoor
from probo_bitbucket.flow.oversight.inspection import Inspection
from probo_bitbucket.flow.oversight.silence import SUBJECT as UPDATES
from probo_bitbucket.flow.oversight.silence import Silence
from probo_bitbucket.flow.oversight.standing import Standing
from probo_bitbucket.flow.oversight.verdict import Grade, Verdict
from probo_bitbucket.flow.work.together import together
from probo_bitbucket.store import Database, StoreUnavailable, house
from probo_bitbucket.upstream import Upstream

HOOKS = 20  # webhooks that are looked at: each costs a request of Bitbucket's budget
SKEW = 10.0  # seconds that our clock may differ from Bitbucket's; several nodes have to agree within as much
WRONG_SKEW = 300.0  # seconds … from which on times in log and pages mislead

Part = Callable[[], Awaitable[list[Verdict]]]


@define(eq=False)
class Check:
    """*running*: whether a daemon is there to answer at the public URL."""

    store: Database
    clock: IReactorTime
    bitbucket: Upstream
    bitbucket_api_url: str
    accounts: Accounts
    standing: Standing
    build_side: BuildSide
    silence: Silence
    inspection: Inspection
    front_door: FrontDoor
    signatures: Signatures
    running: bool

    async def run(self) -> list[Verdict]:
        parts: dict[str, Part] = {
            "store": self._store,
            "Bitbucket": self._bitbucket,
            "credentials": self._credentials,
            self.build_side.subject: self._build_side,
            UPDATES: self._updates,
            PUBLIC_URL: self._public_url,
            "signatures": self._signatures,
            "webhooks": self._hooks,
        }
        looks = [Deferred.fromCoroutine(_look(subject, part)) for subject, part in parts.items()]
        return list(_once(verdict for verdicts in await together(looks) for verdict in verdicts))

    async def _store(self) -> list[Verdict]:
        await self.store.transact(house.try_room)
        return [Verdict.ok("store", "written and read")]

    async def _bitbucket(self) -> list[Verdict]:
        """Asked without credentials: that it answers is enough."""
        began = self.clock.seconds()
        answer = await self.bitbucket.request("GET", f"{self.bitbucket_api_url}/user")
        now = self.clock.seconds()
        if answer.status >= 500:
            return [
                Verdict.wrong("Bitbucket", f"answers {answer.status}", "look at https://bitbucket.status.atlassian.com")
            ]
        return [Verdict.ok("Bitbucket", f"answers, {now - began:.1f} s"), _clock(answer.header("date"), now)]

    async def _credentials(self) -> list[Verdict]:
        troubles = await self.store.transact(self.accounts.troubles)
        if not isinstance(self.accounts, OwnAccounts):
            wrong = [self._in_need(name, trouble) for name, trouble in troubles.items() if trouble]
            return wrong or [Verdict.ok("credentials", "each project's are the coordinator's")]
        if not self.accounts.served:
            return [Verdict.wrong("credentials", "there are none", "open /setup, or put some into the settings")]
        known = [place.representative for place in await self.inspection.places() if place.slug]
        looks = [self.standing.of(account, access, known) for account, access in self.accounts.served]
        served = {account.name for account, _ in self.accounts.served}
        others = [self._in_need(name, trouble) for name, trouble in troubles.items() if name not in served]
        verdicts = [verdict for look in looks for verdict in await look]
        return [*verdicts, *others, *map(_sharing, sharing(await self.store.transact(self.accounts.chains)))]

    def _in_need(self, name: str, trouble: str) -> Verdict:
        return Verdict.wrong(f"credentials {name}", trouble, self.accounts.advice)

    async def _build_side(self) -> list[Verdict]:
        return [await self.build_side.try_it()]

    async def _updates(self) -> list[Verdict]:
        found = await self.silence.look()
        return [found] if found else []

    async def _public_url(self) -> list[Verdict]:
        if not self.running:
            return [Verdict.warning(PUBLIC_URL, "not tried: no daemon is there to answer", "start the daemon")]
        return [await self.front_door.try_it()]

    async def _signatures(self) -> list[Verdict]:
        if await self.signatures.any():
            return [Verdict.ok("signatures", "only signed deliveries are taken")]
        return [Verdict.warning("signatures", UNSIGNED, "probo-bitbucket hooks add WORKSPACE/REPOSITORY")]

    async def _hooks(self) -> list[Verdict]:
        places = await self.inspection.places()
        reports = await self.inspection.reports(places[:HOOKS]) if places else []
        reports += await self.inspection.strangers({each.uuid for each in reports})
        if not reports:
            advice = "probo-bitbucket hooks add WORKSPACE/REPOSITORY"
            return [Verdict.warning("webhooks", "none is known, and nothing was built yet", advice)]
        verdicts = [Verdict(f"webhook {each.place}", each.grade, each.what, each.advice) for each in reports]
        if len(places) > HOOKS:
            more = f"{len(places) - HOOKS} more were not looked at"
            verdicts.append(Verdict.warning("webhooks", more, "probo-bitbucket hooks list looks at all"))
        return verdicts


def _once(verdicts: Iterable[Verdict]) -> Iterator[Verdict]:
    """*verdicts*, where what several things suffer from alike is told with the first of them."""
    told: dict[tuple[str, str], str] = {}
    for verdict in verdicts:
        first = told.setdefault((verdict.what, verdict.advice), verdict.subject)
        alike = verdict.grade is Grade.WRONG and first != verdict.subject
        yield evolve(verdict, what=f"for the same reason as {first}", advice="") if alike else verdict


async def _look(subject: str, part: Part) -> list[Verdict]:
    try:
        return await part()
    except (UpstreamError, StoreUnavailable) as error:
        return [Verdict.of(subject, error)]


def _sharing(names: list[str]) -> Verdict:
    words = "have refresh tokens of one chain, which is refreshed for all of them and dies for all"
    return Verdict.warning(f"credentials {', '.join(names)}", words, "name the repositories of all in one account")


def _clock(date: str, now: float) -> Verdict:
    """Our clock beside Bitbucket's, whose *date* is cut to the second."""
    try:
        skew = abs(parsedate_to_datetime(date).timestamp() + 0.5 - now)
    except ValueError:
        return Verdict.warning("clock", "Bitbucket did not tell the time", "compare it with another clock")
    words = f"{skew:.0f} s from Bitbucket's"
    if skew <= SKEW:
        return Verdict.ok("clock", words)
    tell = Verdict.wrong if skew > WRONG_SKEW else Verdict.warning
    return tell("clock", words, "set it by NTP")
