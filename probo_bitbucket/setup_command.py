"""`probo-bitbucket setup`: the set-up of credentials where only a terminal is at hand."""

from __future__ import annotations

import secrets
import time
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import click

from probo_bitbucket.bitbucket.oauth import Grant, OAuth
from probo_bitbucket.config import Settings
from probo_bitbucket.flow import setup
from probo_bitbucket.flow.consent import CALLBACK_PATH, KEY, SECRET, ConsentFailed, code_of, exchange, yaml_lines
from probo_bitbucket.store import Engine
from probo_bitbucket.store.migrate import upgrade
from probo_bitbucket.store.privacy import make_directory
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

The browser is then sent to a page that may not exist. Copy its address, all of it.
"""


async def run(reactor: Any, settings: Settings, account: str, to_store: bool) -> None:
    """Talk with the operator. Ends the process with status 1 and words where no tokens come of it.

    They are asked for the *account* where it is empty and the settings have several.
    """
    try:
        await _talk(reactor, settings, account, to_store)
    except click.Abort as gone:
        raise SystemExit("\nNothing was set up.") from gone


async def _talk(reactor: Any, settings: Settings, account: str, to_store: bool) -> None:
    account = _account(settings, account)
    click.echo(_WHAT_TO_CLICK.format(callback=f"http://localhost:{settings.port}{CALLBACK_PATH}"))
    key, secret = _ask("Key", KEY.fullmatch), _ask("Secret (is not shown)", SECRET.fullmatch, hidden=True)
    http, pool = http_client(reactor, settings.ca_file)
    endpoint = Upstream("Bitbucket's token endpoint", http, reactor)
    oauth = OAuth(endpoint, settings.bitbucket_site_url, key, secret)
    try:
        grant = await exchange(oauth, _code(oauth))
    except ConsentFailed as failure:
        raise SystemExit(f"{failure.what} {failure.advice}") from failure
    finally:
        await pool.closeCachedConnections()
    if to_store:
        _store(settings, account, key, secret, grant)
        click.echo(f"Stored. A daemon that runs works with them for the account {account} within seconds.")
    else:
        place = "" if account == setup.ALL_OTHERS else f", in the entry of `accounts` that is named {account}"
        click.echo(f"\nFor the settings file{place}; put your secret in its place:\n")
        click.echo(yaml_lines(key, grant), nl=False)


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


def _ask(question: str, fits: Any, *, hidden: bool = False) -> str:
    while not fits(answer := click.prompt(question, hide_input=hidden).strip()):
        click.echo("That is not all of it.")
    return str(answer)


def _code(oauth: OAuth) -> str:
    """Send the operator to Bitbucket, and read what comes back. Raises ConsentFailed."""
    state = secrets.token_urlsafe(32)
    click.echo(_WHERE_TO_GO.format(address=oauth.authorize_url(state)))
    answer = dict(parse_qsl(urlsplit(click.prompt("Address").strip()).query))
    if not secrets.compare_digest(answer.get("state", "").encode(), state.encode()):
        raise ConsentFailed("This address does not come from the one above.", "Begin again.")
    return code_of(answer)


def _store(settings: Settings, account: str, key: str, secret: str, grant: Grant) -> None:
    engine = Engine(settings.database_url)
    if engine.file:
        make_directory(engine.file)
    try:
        upgrade(engine)
        with engine.begin() as tx:
            setup.save(tx, account, key, secret, grant, time.time())
    finally:
        engine.close()
