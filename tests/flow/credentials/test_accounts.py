"""Whose credentials reach a repository, and whose a caller may ask for."""

from __future__ import annotations

import base64

import pytest
from attrs import evolve
from twisted.internet.task import Clock
from twisted.logger import LogEvent

from probo_bitbucket.bitbucket.budget import Budget
from probo_bitbucket.credentials import AccessToken, Account, ApiToken
from probo_bitbucket.errors import DeadCredentials
from probo_bitbucket.flow.credentials.access import FixedAccess, NoAccess, OwnAccess
from probo_bitbucket.flow.credentials.accounts import NotOurs, OwnAccounts
from probo_bitbucket.flow.credentials.wanting import WAITS, Wanting
from probo_bitbucket.flow.work.schedule import CREDENTIALS_PAUSE
from probo_bitbucket.model import Build, BuildKind, Repository
from probo_bitbucket.store import credentials
from tests.canaries import canary
from tests.immediate import ImmediateStore, run

SHOP = Repository("acme", "shop")
BUILD = Build("b-1", BuildKind.HASH, SHOP, SHOP, "d96c25c4ae50", "n", 1.0)


def made(store: ImmediateStore, *accounts: tuple[str, str], clock: Clock | None = None) -> OwnAccounts:
    """Accounts, each a name and a glob. Each has a canary of its name for a token."""
    budget = Budget(Clock(), 1000)

    def access(account: Account) -> OwnAccess:
        assert isinstance(account.credentials, AccessToken)
        return FixedAccess(account.name, account.credentials, budget, Clock())

    listed = [Account(name, AccessToken(canary(name)), (glob,)) for name, glob in accounts]
    return OwnAccounts(listed, store, access, NoAccess("this repository", budget), Wanting(clock or Clock()))


@pytest.fixture
def accounts(store: ImmediateStore) -> OwnAccounts:
    return made(store, ("site", "acme/site"), ("acme", "acme/*"), ("default", "*"))


@pytest.mark.parametrize(
    ("repository", "name"),
    [("acme/site", "site"), ("Acme/SITE", "site"), ("acme/shop", "acme"), ("acme-2/site", "default")],
)
def test_the_first_account_that_covers_a_repository_has_it(accounts: OwnAccounts, repository: str, name: str) -> None:
    assert accounts.of(Repository.parse(repository)).name == name


def test_a_fork_that_no_account_covers_is_reached_with_that_of_its_home(store: ImmediateStore) -> None:
    accounts = made(store, ("acme", "acme/*"), ("robin", "robin/*"))
    home = Repository("acme", "site")
    assert accounts.of(Repository("sam", "site"), home).name == "acme"
    assert accounts.of(Repository("robin", "site"), home).name == "robin"


def test_a_repository_that_no_account_covers_waits_for_credentials(store: ImmediateStore) -> None:
    access = made(store, ("acme", "acme/*")).of(Repository("other", "site"))
    for asked in (access.authorization, access.access_token):
        with pytest.raises(DeadCredentials, match="there are no credentials for other/site"):
            run(asked())
    assert run(access.refused("Bearer x")) is False


def test_work_of_a_repository_that_no_account_covers_is_told_once_while_it_waits(
    store: ImmediateStore, clock: Clock, logged: list[LogEvent]
) -> None:
    accounts = made(store, ("acme", "acme/*"), clock=clock)
    for _ in range(3):
        clock.advance(CREDENTIALS_PAUSE)
        with pytest.raises(DeadCredentials):
            run(accounts.of(Repository("other", "site")).authorization())
    assert store.now(accounts.troubles) == {"acme": "", "default": "no account covers other/site"}
    [event] = [event for event in logged if event.get("event") == "credentials.missing"]
    assert (event["repository"], event["reason"]) == ("other/site", "no account covers it")
    clock.advance(WAITS + 1)
    assert store.now(accounts.troubles) == {"acme": ""}


def test_where_there_are_no_credentials_at_all_that_is_said_with_what_to_do(
    store: ImmediateStore, logged: list[LogEvent]
) -> None:
    with pytest.raises(DeadCredentials):
        run(made(store).of(Repository("other", "site")).authorization())
    [event] = [event for event in logged if event.get("event") == "credentials.missing"]
    assert event["reason"].startswith("there are none at all; open /setup, ")
    assert event["reason"].endswith("probo-bitbucket setup --store")


def test_what_is_set_up_for_all_others_ends_their_waiting(store: ImmediateStore, clock: Clock) -> None:
    accounts = made(store, ("acme", "acme/*"), clock=clock)
    with pytest.raises(DeadCredentials):
        run(accounts.of(Repository("other", "site")).authorization())
    accounts.adopt(Account("default", AccessToken("c4n4ry-T"), ("*",)))
    assert store.now(accounts.troubles) == {"acme": "", "default": ""}


def test_a_token_admits_to_the_repositories_of_its_account_only(accounts: OwnAccounts, store: ImmediateStore) -> None:
    store.now(credentials.begin, "acme", "c4n4ry-R0")
    for token in ("c4n4ry-R0", run(accounts.handle(BUILD))):
        run(accounts.admit(token, Repository("acme", "blog")))
        for other in (Repository("acme", "site"), Repository("globex", "shop")):
            with pytest.raises(NotOurs, match=f"not that of {other.full_name}"):
                run(accounts.admit(token, other))


def test_a_handle_leads_to_its_account_and_its_build(accounts: OwnAccounts) -> None:
    access = accounts.of(Repository("acme", "shop"))
    found, build_id = run(accounts.by_token(run(accounts.handle(BUILD))))
    assert (found, build_id) == (access, "b-1")


def test_a_handle_outlives_a_restart_and_is_the_same_on_all_nodes(accounts: OwnAccounts, store: ImmediateStore) -> None:
    handle = run(accounts.handle(BUILD))
    again = made(store, ("acme", "acme/*"))
    assert run(again.by_token(handle))[0].name == "acme"


def test_a_handle_stands_for_the_account_that_serves_its_repository_now(
    accounts: OwnAccounts, store: ImmediateStore
) -> None:
    handle = run(accounts.handle(BUILD))
    divided = made(store, ("acme", "acme/site"), ("shops", "*/shop"))
    assert run(divided.by_token(handle))[0].name == "shops"
    access, _ = run(made(store, ("acme", "acme/site")).by_token(handle))
    with pytest.raises(DeadCredentials, match="there are no credentials"):
        run(access.access_token())


def test_a_handle_is_worth_nothing_when_anything_in_it_is_changed(accounts: OwnAccounts) -> None:
    handle = run(accounts.handle(BUILD))
    prefix, repository, build_id, signature = handle.split(".")
    forged = [
        f"{prefix}.acme/site.{build_id}.{signature}",
        f"{prefix}.{repository}.b-2.{signature}",
        f"other.{repository}.{build_id}.{signature}",
        f"{prefix}.{repository}.{build_id}.{'0' * len(signature)}",
        f"{prefix}.{repository}.{build_id}.",
        f"{prefix}.{repository}.{build_id}.é",
        f"{prefix}.{repository}.{build_id}",
        f"{prefix}.{repository}..{build_id}.{signature}",
        f"{handle}.",
        handle.upper(),
        f" {handle}",
    ]
    for text in forged:
        with pytest.raises(NotOurs):
            run(accounts.by_token(text))


@pytest.mark.parametrize("text", ["", "undefined", "acme", "...", "probo-bitbucket...", "\0", "é" * 5000])
def test_what_we_never_gave_out_is_not_ours(accounts: OwnAccounts, text: str) -> None:
    with pytest.raises(NotOurs):
        run(accounts.by_token(text))


def test_every_refresh_token_that_a_chain_ever_had_leads_to_its_account(
    accounts: OwnAccounts, store: ImmediateStore
) -> None:
    chain = store.now(credentials.begin, "acme", "c4n4ry-R0")
    store.now(credentials.succeed, chain, credentials.Chain(chain.origin, "c4n4ry-R1", "c4n4ry-A1"))
    for token in ("c4n4ry-R0", "c4n4ry-R1"):
        access, build_id = run(accounts.by_token(token))
        assert (access.name, build_id) == ("acme", "")
    with pytest.raises(NotOurs):
        run(accounts.by_token("c4n4ry-A1"))


def test_a_refresh_token_follows_its_chain_to_the_account_that_holds_it_now(
    accounts: OwnAccounts, store: ImmediateStore
) -> None:
    """What was at the top level was given a name, and something else was put in its place."""
    chain = store.now(credentials.begin, "default", "c4n4ry-R0")
    store.now(credentials.succeed, chain, credentials.Chain(chain.origin, "c4n4ry-R1", "c4n4ry-A1"))
    store.now(credentials.begin, "default", "c4n4ry-X0")
    with pytest.raises(NotOurs):
        run(accounts.by_token("c4n4ry-R1"))
    store.now(credentials.begin, "acme", "c4n4ry-R0")
    found = [run(accounts.by_token(token))[0].name for token in ("c4n4ry-R0", "c4n4ry-R1", "c4n4ry-X0")]
    assert found == ["acme", "acme", "default"]


def test_a_handle_of_a_repository_with_dots_in_its_name_is_read(accounts: OwnAccounts) -> None:
    handle = run(accounts.handle(evolve(BUILD, repository=Repository("acme", "acme.example.org"))))
    access, build_id = run(accounts.by_token(handle))
    assert (access.name, build_id) == ("acme", "b-1")


def test_a_user_shows_email_and_token_and_has_none_for_a_download() -> None:
    access = FixedAccess("ada", ApiToken("ada@example.com", "ü:c4n4ry-t"), Budget(Clock(), 1000), Clock())
    scheme, _, pair = run(access.authorization()).partition(" ")
    assert (scheme, base64.b64decode(pair).decode()) == ("Basic", "ada@example.com:ü:c4n4ry-t")
    with pytest.raises(DeadCredentials, match="Bearer"):
        run(access.access_token())


def test_an_access_token_is_what_it_is() -> None:
    access = FixedAccess("acme", AccessToken("c4n4ry-T"), Budget(Clock(), 1000), Clock())
    assert (run(access.authorization()), run(access.access_token())) == ("Bearer c4n4ry-T", "c4n4ry-T")
