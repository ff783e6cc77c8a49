"""`probo-bitbucket setup`: the set-up of credentials where only a terminal is at hand."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl

import click

from probo_bitbucket.bitbucket.oauth import Grant, OAuth
from probo_bitbucket.config import Settings
from probo_bitbucket.flow.credentials import setup
from probo_bitbucket.flow.credentials.consent import (
    CALLBACK_PATH,
    KEY,
    SECRET,
    ConsentFailed,
    code_of,
    exchange,
    yaml_lines,
)
from probo_bitbucket.store import Engine, StoreUnavailable, Transaction, house
from probo_bitbucket.store.migrate import StoreTooNew, upgrade
from probo_bitbucket.upstream import Upstream, http_client

_WHAT_TO_CLICK = """\
In Bitbucket, open your workspace's Settings, there OAuth consumers, and choose Add consumer:
  Callback URL   {callback}
                 (nobody has to listen there)
  Private        tick “This is a private consumer”
  Permissions    Pull requests: Read (to have webhooks looked after, too, Webhooks: Read and write)
Save, and click on the name of the new consumer: its key and secret are shown.
"""

_WHERE_TO_GO = """
Open this address in a browser on any machine, and grant access:

  {address}

The browser is then sent to another page. Copy its address, all of it, whatever the page says.
"""

_NO_STORE = (StoreUnavailable, StoreTooNew)


async def run(reactor: Any, settings: Settings, account: str, to_store: bool) -> None:
    """Talk with the operator until tokens come of it. Ends the process with status 1 where the answers end before, or
    the tokens cannot be stored.

    They are asked for the *account* where it is empty and the settings have several.
    """
    try:
        await _talk(reactor, settings, account, to_store)
    except click.Abort as gone:
        raise SystemExit("\nNothing was set up.") from gone


async def _talk(reactor: Any, settings: Settings, account: str, to_store: bool) -> None:
    if to_store:
        _try_store(settings)
    account = _account(settings, account)
    click.echo(_WHAT_TO_CLICK.format(callback=f"http://localhost:{settings.port}{CALLBACK_PATH}"))
    http, pool = http_client(reactor, settings.ca_file)
    endpoint = Upstream("Bitbucket's token endpoint", http, reactor)
    try:
        key, secret, grant = await _consent(endpoint, settings.bitbucket_site_url)
    finally:
        await pool.closeCachedConnections()
    if not to_store:
        _print_lines(account, key, grant)
        return
    try:
        with _opened(settings) as tx:
            setup.save(tx, account, key, secret, grant, time.time())
    except _NO_STORE as error:
        _print_lines(account, key, grant)  # Bitbucket gives these tokens once
        raise SystemExit(f"\nThey could not be stored: {error}") from error
    click.echo(f"Stored. A daemon that runs works with them for the account {account} within seconds.")


def _account(settings: Settings, wanted: str) -> str:
    """The name of the account to set up."""
    choices = setup.choices(settings.accounts)
    names = [account.name for account in choices]
    if wanted and wanted not in names:
        raise SystemExit(f"The settings have no account {wanted}. There is: {', '.join(names)}")
    if wanted or len(names) == 1:
        return wanted or names[0]
    for account in choices:
        click.echo(f"  {account.name}: {setup.repositories(account)}")
    return str(click.prompt("Account", type=click.Choice(names)))


async def _consent(endpoint: Upstream, site_url: str) -> tuple[str, str, Grant]:
    """Key and secret, and what Bitbucket gives for them. Asks again until it gives something."""
    key = secret = ""
    while True:
        key = _ask("Key", KEY.fullmatch, key)
        secret = _ask(
            f"Secret (is not shown{'; Enter for the same' if secret else ''})", SECRET.fullmatch, secret, True
        )
        oauth = OAuth(endpoint, site_url, key, secret)
        try:
            return key, secret, await exchange(oauth, code_of(_answer(oauth)))
        except ConsentFailed as failure:
            click.echo(f"\n{failure.what} {failure.advice}\n", err=True)


def _ask(question: str, fits: Any, before: str, hidden: bool = False) -> str:
    """What is answered, or, where only Enter is pressed, what was answered *before*."""
    while not fits(answer := _prompt(question, before, hidden)):
        click.echo("That is not all of it.", err=True)
    return answer


def _prompt(question: str, before: str = "", hidden: bool = False) -> str:
    hide = hidden and sys.stdin.isatty()  # what comes from a file or a program is not shown anyway
    return str(click.prompt(question, default=before or None, hide_input=hide, show_default=not hidden)).strip()


def _answer(oauth: OAuth) -> dict[str, str]:
    """Send the operator to Bitbucket, and read what comes back."""
    state = secrets.token_urlsafe(32)
    click.echo(_WHERE_TO_GO.format(address=oauth.authorize_url(state)))
    while True:
        _, _, query = _prompt("Address").partition("?")
        answer = dict(parse_qsl(query))
        if secrets.compare_digest(answer.get("state", "").encode(), state.encode()):
            return answer
        click.echo("This address does not come from the one above. Copy all of it, from the last page.", err=True)


def _print_lines(account: str, key: str, grant: Grant) -> None:
    place = "" if account == setup.ALL_OTHERS else f", in the entry of `accounts` that is named {account}"
    click.echo(f"\nFor the settings file{place}; put your secret in its place:\n")
    click.echo(yaml_lines(key, grant), nl=False)


def _try_store(settings: Settings) -> None:
    """End the process with status 1 where nothing can be stored."""
    try:
        with _opened(settings) as tx:
            house.try_room(tx)
    except _NO_STORE as error:
        raise SystemExit(f"Nothing can be stored: {error}") from error


@contextmanager
def _opened(settings: Settings) -> Iterator[Transaction]:
    """A transaction of the daemon's store, which is made where there is none. Raises one of _NO_STORE."""
    engine = Engine(settings.database_url)
    try:
        upgrade(engine)
        with engine.begin() as tx:
            yield tx
    finally:
        engine.close()
