"""Credentials are one of four kinds, at the top level and in every account."""

from __future__ import annotations

from pathlib import Path

import pytest

from probo_bitbucket import config
from probo_bitbucket.credentials import AccessToken, Account, ApiToken, Credentials, OAuthConsumer
from tests.canaries import canary

API = {"PROBO_BITBUCKET_API_URL": "http://cm:3020"}
NAMES = {
    "k": "bbClientKey",
    "s": "bbClientSecret",
    "r": "bbRefreshToken",
    "a": "bbAccessToken",
    "e": "bbEmail",
    "t": "bbApiToken",
}


def given_as(letters: str) -> dict[str, str]:
    """Options with a value for each of NAMES' *letters*."""
    known = {"k": "k", "e": "e@x"}
    return {NAMES[letter]: known.get(letter, canary(letter)) for letter in letters}


def load_text(tmp_path: Path, text: str) -> config.Settings:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    return config.load([path], API, {})


def problems_of(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(config.SettingsError) as caught:
        load_text(tmp_path, text)
    return [problem.removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("given", "credentials"),
    [
        ("", None),
        ("ks", OAuthConsumer("k", "c4n4ry-s")),
        ("ksr", OAuthConsumer("k", "c4n4ry-s", "c4n4ry-r")),
        ("ksra", OAuthConsumer("k", "c4n4ry-s", "c4n4ry-r", "c4n4ry-a")),
        ("a", AccessToken("c4n4ry-a")),
        ("et", ApiToken("e@x", "c4n4ry-t")),
    ],
)
def test_four_kinds_of_credentials(given: str, credentials: Credentials | None) -> None:
    settings = config.load([], API, given_as(given))
    assert settings.credentials == credentials
    assert settings.accounts == ((Account("default", credentials, ("*",)),) if credentials else ())


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("k", "bbClientSecret missing beside bbClientKey"),
        ("s", "bbClientKey missing beside bbClientSecret"),
        ("r", "bbClientKey and bbClientSecret missing beside bbRefreshToken"),
        ("ar", "bbClientKey and bbClientSecret missing beside bbAccessToken, bbRefreshToken"),
        ("ksa", "bbRefreshToken missing beside bbClientKey, bbClientSecret, bbAccessToken"),
        ("e", "bbApiToken missing beside bbEmail"),
        ("t", "bbEmail missing beside bbApiToken"),
        ("ae", "different kinds of credentials are mixed (bbAccessToken, bbEmail)"),
        ("kset", "different kinds of credentials are mixed (bbClientKey, bbClientSecret, bbEmail, bbApiToken)"),
    ],
)
def test_mixed_or_incomplete_credentials_are_told_apart(given: str, problem: str) -> None:
    with pytest.raises(config.SettingsError) as caught:
        config.load([], API, given_as(given))
    (told,) = caught.value.problems
    assert told.partition(": ")[2].startswith(f"{problem}; give either ")


def test_accounts_come_before_the_credentials_of_the_top_level(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("c4n4ry-from-a-file\n")
    settings = load_text(
        tmp_path,
        """
bbAccessToken: c4n4ry-top
accounts:
  - {name: acme, repositories: [acme, 'Labs/site-*'], bbAccessTokenFile: token}
  - {name: emil, repositories: emil, bbEmail: e@x, bbApiToken: c4n4ry-0123}
""",
    )
    assert settings.accounts == (
        Account("acme", AccessToken("c4n4ry-from-a-file"), ("acme/*", "Labs/site-*")),
        Account("emil", ApiToken("e@x", "c4n4ry-0123"), ("emil/*",)),
        Account("default", AccessToken("c4n4ry-top"), ("*",)),
    )


def test_an_account_covers_what_its_globs_match() -> None:
    account = Account("acme", AccessToken("c4n4ry-t"), ("acme/*", "Labs/site-*"))
    covered = ("acme/a", "Acme/b", "labs/site-1")
    assert all(account.covers(name) for name in covered)
    assert not any(account.covers(name) for name in ("acme2/a", "labs/other", "x/acme"))
    assert Account("default", AccessToken("c4n4ry-t"), ("*",)).covers("any/thing")


@pytest.mark.parametrize(
    ("accounts", "problem"),
    [
        ("{name: a}", "s.yaml:1: accounts: a mapping came; a list of mappings (in a settings file) is expected"),
        ("[a]", "s.yaml:1: accounts[0]: text came; a mapping is expected"),
        ("[{repositories: a, bbAccessToken: c4n4ry}]", "s.yaml:1: accounts[0].name: is missing: "),
        ("[{name: a, bbAccessToken: c4n4ry}]", "s.yaml:1: accounts[0].repositories: is missing: "),
        ("[{name: a, repositories: [], bbAccessToken: c4n4ry}]", "s.yaml:1: accounts[0].repositories: is missing: "),
        (
            "[{name: a, repositories: a/b/c, bbAccessToken: c4n4ry}]",
            "s.yaml:1: accounts[0].repositories: 'a/b/c' came; ",
        ),
        ("[{name: default, repositories: a, bbAccessToken: c4n4ry}]", "s.yaml:1: accounts[0].name: 'default' came; "),
        ("[{name: a, repositories: a, bbClientKey: k}]", "s.yaml:1: accounts[0].bbClientKey: bbClientSecret missing"),
        ("[{name: a, repositories: a, bbAccessTokn: k}]", "s.yaml:1: accounts[0].bbAccessTokn: unknown key; did you "),
        (
            "\n- {name: a, repositories: a, bbAccessToken: c4n4ry}\n- {name: a, repositories: b}",
            "s.yaml:3: accounts[1].name: 'a' is the name of two accounts",
        ),
    ],
)
def test_a_wrong_account_is_told_with_its_place(tmp_path: Path, accounts: str, problem: str) -> None:
    (told,) = problems_of(tmp_path, f"accounts: {accounts}")
    assert told.startswith(problem)


def test_an_account_without_credentials_is_told_how_to_get_some(tmp_path: Path) -> None:
    settings = load_text(tmp_path, "accounts: [{name: a, repositories: a}]")
    assert settings.accounts == (Account("a", None, ("a/*",)),)
    assert any(": accounts[0]: has no credentials; open /setup " in warning for warning in settings.warnings)


def test_credentials_that_the_download_cannot_use_are_warned_about() -> None:
    def warnings(**options: str) -> list[str]:
        return [warning for warning in config.load([], API, options).warnings if "download" in warning]

    [warning] = warnings(bbEmail="e@x", bbApiToken="c4n4ry-t")
    assert "the account default" in warning
    assert warnings(bbAccessToken="c4n4ry-a") == warnings(bbClientKey="k", bbClientSecret="c4n4ry-s") == []


COORDINATOR = {"PROBO_BITBUCKET_API_TOKEN": "c4n4ry-t"}
MODE = "in coordinator mode (api.token) the projects' refresh tokens are the coordinator's"


def test_in_coordinator_mode_the_consumers_own_tokens_do_nothing_and_that_is_said(tmp_path: Path) -> None:
    """The Node handlers insisted on them, so settings files have them."""
    path = tmp_path / "s.yaml"
    given = given_as("ksar") | {"bbWebhookSecret": canary("h")}
    path.write_text("".join(f"{name}: {value}\n" for name, value in given.items()))
    path.chmod(0o600)
    settings = config.load([path], API | COORDINATOR, {})
    assert f"{path}:4: bbRefreshToken: does nothing; {MODE}" in settings.warnings


@pytest.mark.parametrize("text", ["", "bbAccessToken: c4n4ry-a\n", "bbEmail: e@x\nbbApiToken: c4n4ry-t\n"])
def test_coordinator_mode_needs_the_consumer_of_the_coordinators_tokens(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(config.SettingsError) as caught:
        config.load([path], API | COORDINATOR, {})
    wanted = f"PROBO_BITBUCKET_API_TOKEN: {MODE}; give bbClientKey and bbClientSecret of their consumer"
    assert caught.value.problems == (wanted,)


def test_accounts_are_for_direct_mode(tmp_path: Path) -> None:
    text = (
        "bbClientKey: k\nbbClientSecret: c4n4ry-s\naccounts:\n  - {name: a, repositories: a, bbAccessToken: c4n4ry}\n"
    )
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(config.SettingsError) as caught:
        config.load([path], API | COORDINATOR, {})
    assert caught.value.problems == (f"{path}:3: accounts: cannot stand beside api.token; {MODE}",)


CONSUMER = "bbClientKey: k\n  bbClientSecret: c4n4ry-long-enough\n  bbRefreshToken: c4n4ry-the-same-token"
ACCOUNTS = f"""
accounts:
- name: acme
  repositories: acme/*
  {CONSUMER}
"""


def test_a_refresh_token_of_two_accounts_is_refused(tmp_path: Path) -> None:
    other = ACCOUNTS.replace("acme", "globex").replace("\naccounts:", "")
    [problem] = problems_of(tmp_path, ACCOUNTS + other)
    assert problem.startswith("bbRefreshToken: the account acme and the account globex have the same one; each use")
    [problem] = problems_of(tmp_path, ACCOUNTS + CONSUMER.replace("  ", ""))
    assert problem.startswith("bbRefreshToken: the account acme and the top level have the same one; each use")
    load_text(tmp_path, ACCOUNTS + other.replace("c4n4ry-the-same-token", "c4n4ry-another-token"))


def beyond(tmp_path: Path, text: str) -> list[str]:
    found = load_text(tmp_path, text).warnings
    return [warning.partition(" reaches")[0] for warning in found if warning.startswith("repositories:")]


def test_repositories_that_no_account_covers_are_warned_about(tmp_path: Path) -> None:
    assert beyond(tmp_path, ACCOUNTS) == ["repositories: */*"]
    named = f"repositories: [acme/site, ACME/*, other/site]{ACCOUNTS}"
    assert beyond(tmp_path, named) == ["repositories: other/site"]
    top_level = CONSUMER.replace("  ", "").replace("c4n4ry-the-same-token", "c4n4ry-another-token")
    assert beyond(tmp_path, ACCOUNTS + top_level) == []
    assert beyond(tmp_path, "") == []
