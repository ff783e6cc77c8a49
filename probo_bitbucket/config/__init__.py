"""Settings: read from files, environment and options, merged, and checked.

Every value is kept as it was written until all sources are merged (`sources`), then read by its key's type
(`values`). What is wrong is collected and told in one go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from attrs import fields_dict

from probo_bitbucket.config.accounts import CredentialReader, beyond_accounts, shared_tokens
from probo_bitbucket.config.keys import KEYS, Key
from probo_bitbucket.config.settings import Settings, Whereabouts
from probo_bitbucket.config.sources import gather
from probo_bitbucket.config.types import Forks, HandOut, LogFormat, Pushes, ShownStatuses, port_of
from probo_bitbucket.config.values import Reader
from probo_bitbucket.config.written import Findings, SettingsError
from probo_bitbucket.credentials import Account, ApiToken

__all__ = [
    "KEYS",
    "Forks",
    "HandOut",
    "Key",
    "LogFormat",
    "Pushes",
    "Settings",
    "SettingsError",
    "ShownStatuses",
    "Whereabouts",
    "load",
    "whereabouts",
]

_SHARED_FILE = "sharePort: needs a PostgreSQL as database, because an SQLite file is for one daemon"
_SHARED_ENDPOINT = "sharePort: {endpoint} cannot be shared, only tcp: and ssl: can"
_NO_DOWNLOAD = (
    "the API token of the account {name} cannot be used for the Container Manager's download of the source, which "
    "needs a Bearer token: builds of its repositories will fail there; use an OAuth consumer or an access token"
)

_LEADS_BACK = "forward.{provider}: {url} is this handler itself; give the URL of the handler for {provider}"
_HERE = ("localhost", "127.0.0.1", "::1")


def load(files: Sequence[Path], environ: Mapping[str, str], options: Mapping[str, object]) -> Settings:
    """Read the settings; *options* go by the keys' names, and those that are None were not given.

    Raises SettingsError with everything that is wrong.
    """
    findings = Findings()
    given = gather(files, environ, options, findings)
    if findings.problems and not given:
        raise findings.error()  # nothing could be read, so nothing is worth being called missing
    reader = Reader(environ, findings)
    home = f"{files[-1]}: " if files else ""
    plain = [key for key in KEYS if key.attribute not in ("credentials", "accounts")]
    values = {key.attribute: reader.value(key, given.get(key.name), home) for key in plain}
    credential_reader = CredentialReader(reader)
    credentials = credential_reader.credentials(given)
    accounts = tuple(credential_reader.accounts(given.get("accounts")))
    if values["api_token"] and not findings.problems:
        credential_reader.check_for_coordinator(given, credentials)
    if credentials:
        accounts = (*accounts, Account("default", credentials, ("*",)))
    findings.problems.extend(shared_tokens(accounts))
    if values.get("share_port"):
        findings.problems.extend(_unshareable(values))
    if findings.problems:
        raise findings.error()
    findings.warnings.extend(beyond_accounts(values["repositories"], accounts))
    basic = [account.name for account in accounts if isinstance(account.credentials, ApiToken)]
    findings.warnings.extend(_NO_DOWNLOAD.format(name=name) for name in basic)
    findings.warnings.extend(_leading_back(values))
    return Settings(**values, credentials=credentials, accounts=accounts, warnings=tuple(findings.warnings))


def whereabouts(files: Sequence[Path], environ: Mapping[str, str]) -> Whereabouts:
    """Where the daemon answers that has these settings. A token that only the daemon can read is left empty.

    Raises SettingsError, with what is wrong with the settings that tell it.
    """
    findings = Findings()
    given = gather(files, environ, {}, findings)
    reader = Reader(environ, findings)
    keys = [key for key in KEYS if key.attribute in fields_dict(Whereabouts)]
    values = {key.attribute: reader.value(key, given.get(key.name), "") for key in keys}
    if findings.problems != findings.elsewhere:
        raise findings.error()
    return Whereabouts(**values)


def _unshareable(values: Mapping[str, Any]) -> Iterator[str]:
    """Why daemons with these settings cannot share their ports."""
    if not values.get("database", "").startswith("postgresql:"):
        yield _SHARED_FILE
    for endpoint in (*values.get("listen", ()), *values.get("internal_listen", ())):
        if not endpoint.startswith(("tcp:", "ssl:")):
            yield _SHARED_ENDPOINT.format(endpoint=endpoint)


def _leading_back(values: Mapping[str, Any]) -> Iterator[str]:
    """Warnings of updates that would come back, where that is plain from the settings."""
    endpoints = (*values["listen"], *values["internal_listen"])
    ports = {int(port) for port in map(port_of, endpoints) if port}
    if not values["listen"]:
        ports.add(values["port"])
    for provider in ("github", "gitlab", "stash"):
        url = values[f"forward_{provider}"]
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        here = parts.hostname in (*_HERE, values["hostname"]) and port in ports
        if url and (here or url == values["public_url"]):
            yield _LEADS_BACK.format(provider=provider, url=url)
