"""Standing: how an account stands with Bitbucket: whether it is let in, for how long, and with which scopes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
from attrs import define
from twisted.internet.interfaces import IReactorTime

from probo_bitbucket.bitbucket.caller import Caller
from probo_bitbucket.bitbucket.scopes import ScopeMissing
from probo_bitbucket.credentials import Account, has_wildcards
from probo_bitbucket.errors import DeadCredentials, Permanent, UpstreamError
from probo_bitbucket.flow.credentials.access import Access
from probo_bitbucket.flow.credentials.chain import TokenChain
from probo_bitbucket.flow.oversight.verdict import Verdict
from probo_bitbucket.model import InvalidName, Repository
from probo_bitbucket.store import StoreUnavailable

# What is asked of a repository, and the scope that it takes.
_TRIALS = {"repository": "", "pullrequest": "/pullrequests?pagelen=1", "webhook": "/hooks?pagelen=1"}


class _Listed(msgspec.Struct):
    full_name: str


@define(eq=False)
class Standing:
    """Looks with the account's own credentials; spends up to four requests of its budget."""

    caller: Caller
    clock: IReactorTime

    async def of(self, account: Account, access: Access, known: list[Repository]) -> list[Verdict]:
        """*known* are the repositories that something is known of; one of the account's is looked at."""
        subject = f"credentials {account.name}"
        verdicts: list[Verdict] = []
        try:
            verdicts.append(await self._let_in(subject, access))
            subject = f"scopes {account.name}"
            return [*verdicts, await self._scopes(subject, access, await self._sample(account, access, known))]
        except DeadCredentials as error:
            return [Verdict.of(f"credentials {account.name}", error)]
        except (UpstreamError, StoreUnavailable) as error:
            return [*verdicts, Verdict.of(subject, error)]

    async def _let_in(self, subject: str, access: Access) -> Verdict:
        if not isinstance(access, TokenChain):
            await access.authorization()
            return Verdict.ok(subject, "given; Bitbucket does not tell how long they are good for")
        chain, now = await access.newest(), self.clock.seconds()
        left, age = chain.expires_at - now, now - chain.refreshed_at
        words = f"an access token for another {left / 60:.0f} min, renewed {age / 60:.0f} min ago"
        return Verdict.ok(subject, words + ("; by refresh token" if chain.refresh_token else "; by client credentials"))

    async def _sample(self, account: Account, access: Access, known: list[Repository]) -> Repository | None:
        """A repository that the account serves: one that is known, or the first of a workspace that it names."""
        for repository in known:
            if account.covers(repository.full_name):
                return repository
        for glob in account.repositories:
            async for repository in self._of_workspace(glob.partition("/")[0], access):
                if account.covers(repository.full_name):
                    return repository
        return None

    async def _of_workspace(self, workspace: str, access: Access) -> AsyncIterator[Repository]:
        if has_wildcards(workspace):
            return
        async for listed in self.caller.pages(access, f"repositories/{workspace}", _Listed):
            try:
                yield Repository.parse(listed.full_name)
            except InvalidName:
                continue

    async def _scopes(self, subject: str, access: Access, sample: Repository | None) -> Verdict:
        if sample is None:
            advice = "name a repository under `repositories` in the settings, or make a webhook"
            return Verdict.warning(subject, "not tried: no repository is known yet", advice)
        lacking: list[ScopeMissing] = []
        for below in _TRIALS.values():
            try:
                await self.caller.checked(access, "GET", f"repositories/{sample.full_name}{below}")
            except ScopeMissing as missing:
                lacking.append(missing)
            except Permanent as error:
                if not below:
                    raise
                return Verdict.warning(subject, f"{sample.full_name}: {error}", "let the account administer it")
        if not lacking:
            return Verdict.ok(subject, f"{', '.join(_TRIALS)}: tried at {sample.full_name}")
        return _lacking(subject, lacking)


def _lacking(subject: str, lacking: list[ScopeMissing]) -> Verdict:
    scopes = list(dict.fromkeys(scope for missing in lacking for scope in missing.required))
    all_missing = ScopeMissing("", scopes)
    words = f"missing: {', '.join(scopes)}"
    if scopes == ["webhook"]:
        return Verdict.warning(subject, f"{words}; webhooks cannot be looked after", all_missing.advice)
    return Verdict.wrong(subject, words, all_missing.advice)
