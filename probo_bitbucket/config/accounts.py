"""Which of the four kinds of credentials was given, and the accounts that have them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from attrs import frozen

from probo_bitbucket.config import types
from probo_bitbucket.config.keys import ACCOUNT_KEYS, CREDENTIAL_KEYS
from probo_bitbucket.config.sources import assign
from probo_bitbucket.config.values import Reader
from probo_bitbucket.config.written import Given, Shape, Written
from probo_bitbucket.credentials import AccessToken, Account, ApiToken, Credentials, OAuthConsumer

_CONSUMER = ("bbClientKey", "bbClientSecret")
_USER = ("bbEmail", "bbApiToken")
_COORDINATED = "in coordinator mode (api.token) the projects' refresh tokens are the coordinator's"
_KINDS = (
    "give either bbClientKey and bbClientSecret (with bbRefreshToken or without), "
    "or bbAccessToken alone, or bbEmail and bbApiToken"
)
_ONE_ACCOUNT = (
    "each use replaces it, and the other would not learn by what: name the repositories of both in one account"
)
_BEYOND = "what is built there waits until somebody gives credentials for all other repositories (/setup)"


@frozen
class CredentialReader:
    """Reads the credentials at the top level and those of the accounts."""

    reader: Reader

    def credentials(self, given: Mapping[str, Given]) -> Credentials | None:
        """The credentials among *given*; None where there are none, or a problem was found in them."""
        problems = self.reader.findings.problems
        before = len(problems)
        values = {key.name: self.reader.value(key, given.get(key.name), "") for key in CREDENTIAL_KEYS}
        present = [name for name, value in values.items() if value]
        if not present or len(problems) > before:
            return None
        wrong = _mismatch(present)
        if wrong:
            problems.append(f"{given[present[0]].where()}: {wrong}")
            return None
        return _credentials(values)

    def check_for_coordinator(self, given: Mapping[str, Given], credentials: Credentials | None) -> None:
        """Beside a coordinator there must be the consumer that its refresh tokens belong to, and nothing else.

        The consumer's own tokens, which the Node handlers insisted on, do nothing.
        """
        if "accounts" in given and not given["accounts"].written.empty:
            self._problem(given["accounts"].where(), f"cannot stand beside api.token; {_COORDINATED}")
        if not isinstance(credentials, OAuthConsumer):
            wanted = f"{_COORDINATED}; give bbClientKey and bbClientSecret of their consumer"
            self._problem(given["api.token"].where(), wanted)
        elif credentials.refresh_token:
            warning = f"{given['bbRefreshToken'].where()}: does nothing; {_COORDINATED}"
            self.reader.findings.warnings.append(warning)

    def accounts(self, given: Given | None) -> Iterator[Account]:
        if given is None or given.written.empty:
            return
        if given.written.shape is not Shape.LIST:
            self._problem(given.where(), f"{given.written.shape.value} came; {types.ACCOUNTS.expects} is expected")
        names: set[str] = set()
        for number, item in enumerate(given.written.items):
            account = self._account(item, f"accounts[{number}]")
            if account and account.name in names:
                self._problem(f"{item.place}: accounts[{number}].name", f"{account.name!r} is the name of two accounts")
            elif account:
                names.add(account.name)
                yield account

    def _account(self, item: Written, path: str) -> Account | None:
        where = f"{item.place}: {path}"
        if item.shape is not Shape.MAPPING:
            self._problem(where, f"{item.shape.value} came; a mapping is expected")
            return None
        problems = self.reader.findings.problems
        before = len(problems)
        given = assign(item.entries, ACCOUNT_KEYS, f"{path}.", self.reader.findings)
        name, repositories = (self.reader.value(key, given.get(key.name), f"{where}.") for key in ACCOUNT_KEYS[:2])
        credentials = self.credentials(given)
        if credentials is None and len(problems) == before:
            self.reader.findings.warnings.append(
                f"{where}: has no credentials; open /setup to give it some, or {_KINDS}"
            )
        return Account(name, credentials, repositories) if len(problems) == before else None

    def _problem(self, where: str, what: str) -> None:
        self.reader.findings.problems.append(f"{where}: {what}")


def shared_tokens(accounts: Sequence[Account]) -> Iterator[str]:
    """Which accounts have the same refresh token: each would spend what the other goes on with."""
    names: dict[str, str] = {}
    for account in accounts:
        token = account.credentials.refresh_token if isinstance(account.credentials, OAuthConsumer) else ""
        if token and token in names:
            both = " and ".join(_in_words(name) for name in (names[token], account.name))
            yield f"bbRefreshToken: {both} have the same one; {_ONE_ACCOUNT}"
        names.setdefault(token, account.name)


def beyond_accounts(repositories: Sequence[str], accounts: Sequence[Account]) -> Iterator[str]:
    """Which of the *repositories* that are built no account covers, as far as their globs tell."""
    for glob in repositories if accounts else ():
        if not any(account.covers(glob) for account in accounts):
            yield f"repositories: {glob} reaches further than the accounts; {_BEYOND}"


def _in_words(name: str) -> str:
    return "the top level" if name == "default" else f"the account {name}"


def _mismatch(present: list[str]) -> str:
    """What is wrong with the set of credentials that are present; empty where it is one of the four kinds."""
    if present == ["bbAccessToken"]:
        return ""
    of_user = [name for name in present if name in _USER]
    if of_user and len(of_user) < len(present):
        return f"different kinds of credentials are mixed ({', '.join(present)}); {_KINDS}"
    refreshed = ("bbRefreshToken",) if "bbAccessToken" in present else ()
    needed = _USER if of_user else (*_CONSUMER, *refreshed)
    missing = [name for name in needed if name not in present]
    return f"{' and '.join(missing)} missing beside {', '.join(present)}; {_KINDS}" if missing else ""


def _credentials(values: Mapping[str, str]) -> Credentials:
    if values["bbEmail"]:
        return ApiToken(values["bbEmail"], values["bbApiToken"])
    if values["bbClientKey"]:
        return OAuthConsumer(
            values["bbClientKey"], values["bbClientSecret"], values["bbRefreshToken"], values["bbAccessToken"]
        )
    return AccessToken(values["bbAccessToken"])
