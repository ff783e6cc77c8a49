"""Checkup: what `probo-bitbucket check` looks at itself: the files, and everything where no daemon can be asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from attrs import evolve, frozen
from twisted.internet.task import react
from twisted.logger import globalLogBeginner

from probo_bitbucket.assembly.outside import Outside
from probo_bitbucket.assembly.oversight import oversee
from probo_bitbucket.config import Settings
from probo_bitbucket.credentials import Account, OAuthConsumer
from probo_bitbucket.flow.deliveries.signatures import RefusedDeliveries, Signatures
from probo_bitbucket.flow.oversight.verdict import Verdict
from probo_bitbucket.store import Database, Engine, StoreUnavailable, nodes
from probo_bitbucket.store.migrate import StoreTooNew, empty, form
from probo_bitbucket.store.privacy import is_open

_OTHER_USER = "run this as the user that the daemon has"
_NOT_TRIED = "not tried: a new token has to be kept, and there is no database yet"


def look_at_files(settings: Settings, files: Sequence[Path]) -> Iterator[Verdict]:
    """What the settings themselves tell, and whether others can read the tokens."""
    where = ", ".join(map(str, files)) or "the environment and the defaults"
    yield Verdict.ok("settings", f"read from {where}")
    for warning in settings.warnings:
        yield Verdict.warning("settings", warning, "")
    database = Engine(settings.database_url).file
    if database is None:
        return
    try:
        open_ones = [(path, mode) for path, mode in _private(database) if is_open(path)]
    except OSError as error:
        yield Verdict.warning("files", f"{error.filename} cannot be looked at: {error.strerror}", _OTHER_USER)
        return
    for path, mode in open_ones:
        yield Verdict.wrong("files", f"{path} is open to other users, and holds tokens", f"chmod {mode} {path}")
    if not open_ones:
        yield Verdict.ok("files", f"nobody else can read {database.parent}")


def _private(database: Path) -> Iterator[tuple[Path, str]]:
    """What is for the daemon's user only, and the mode that it should have."""
    yield database.parent, "700"
    for path in sorted(database.parent.glob(f"{database.name}*")):
        yield path, "600"


def look_alone(settings: Settings) -> list[Verdict]:
    """Look at everything without a daemon, with the credentials of one, as another node would."""
    found: list[Verdict] = []

    async def main(reactor: Any) -> None:
        found.extend(await _look(reactor, settings))

    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)
    try:
        react(main)
    except SystemExit as end:
        if end.code:
            raise
    return found


@frozen
class _Ground:
    """A store to look from: the daemon's own, or an empty one in its place where that cannot be used."""

    engine: Engine
    verdict: Verdict | None = None  # on the daemon's own, where this is not it
    first: bool = False  # nothing was ever kept there: what the settings do not give is nowhere


def _ground(settings: Settings) -> _Ground:
    engine = Engine(settings.database_url)
    if engine.missing:
        return _Ground(empty(), Verdict.ok("store", f"{engine.file} is made when the daemon starts"), first=True)
    try:
        known = form(engine)
    except StoreUnavailable as error:
        return _Ground(empty(), Verdict.of("store", error))
    except StoreTooNew as error:
        return _Ground(empty(), Verdict.wrong("store", str(error), "install that version, or restore a backup"))
    if known.pending:
        words = f"{len(known.pending)} migrations wait for the start of the daemon"
        return _Ground(empty(), Verdict.ok("store", words), first=not known.current)
    return _Ground(engine)


async def _look(reactor: Any, settings: Settings) -> list[Verdict]:
    ground = _ground(settings)
    verdicts: list[Verdict] = []
    unjudged = set()
    if ground.verdict:
        renewed = [account for account in settings.accounts if isinstance(account.credentials, OAuthConsumer)]
        verdicts = [ground.verdict, *map(_not_tried, renewed)]
        settings = evolve(settings, accounts=tuple(each for each in settings.accounts if each not in renewed))
        unjudged = {"store"} if ground.first and not renewed else {"store", "credentials"}
    found = await _look_from(ground, reactor, settings)
    return [*verdicts, *(verdict for verdict in found if verdict.subject not in unjudged)]


def _not_tried(account: Account) -> Verdict:
    return Verdict.warning(f"credentials {account.name}", _NOT_TRIED, "start the daemon, then check again")


async def _look_from(ground: _Ground, reactor: Any, settings: Settings) -> list[Verdict]:
    store, node = Database(ground.engine, reactor), str(uuid4())
    outside = Outside.of(settings, store, reactor, node)
    if set_up := outside.keys.set_up(outside.accounts, lambda: None):
        with ground.engine.rehearsal() as tx:  # to choose as the daemon would, and leave the choice to it
            set_up.begin(tx)
    store.start()
    try:
        oversight = oversee(
            settings,
            store=store,
            reactor=reactor,
            api=outside.api,
            accounts=outside.accounts,
            container_manager=outside.container_manager,
            signatures=Signatures(settings.webhook_secrets, store, reactor),
            refused=RefusedDeliveries(),
            running=False,
        )
        return await oversight.check.run()
    finally:
        for chain in outside.keys.chains:
            await chain.at_rest()
        await store.transact(nodes.release, node)
        await outside.pool.closeCachedConnections()
        await store.stop()
