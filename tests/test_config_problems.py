"""What is wrong with settings is told in one go, one readable line each, and never shows a secret."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest

from probo_bitbucket import config
from tests.canaries import MARK

API = "api: {url: 'http://cm:3020'}\n"


def problems(
    *files: Path, environ: Mapping[str, str] | None = None, options: Mapping[str, object] | None = None
) -> tuple[str, ...]:
    with pytest.raises(config.SettingsError) as caught:
        config.load(files, environ or {}, options or {})
    assert str(caught.value).splitlines() == list(caught.value.problems)
    return caught.value.problems


def problems_of(tmp_path: Path, text: str | bytes) -> list[str]:
    """The problems of a file, without the file's name."""
    path = tmp_path / "s.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    found = problems(path, environ={"PROBO_BITBUCKET_API_URL": "http://cm:3020"})
    return [problem.removeprefix(str(path)) for problem in found]


def problem_in(tmp_path: Path, text: str) -> str:
    (problem,) = problems_of(tmp_path, text)
    return problem


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("port: many\nbbClientKee: k\n")
    assert problems(path, environ={"PROBO_BITBUCKET_HANDOUT": "x"}, options={"rateLimit": 0}) == (
        f"{path}:1: port: 'many' came; a whole number from 0 to 65535 is expected",
        f"{path}:2: bbClientKee: unknown key; did you mean bbClientKey?",
        f"{path}: api.url: is missing: URL of the Container Manager (or coordinator) that builds are sent to, "
        "such as http://localhost:3020.",
        "PROBO_BITBUCKET_HANDOUT: unknown variable; did you mean PROBO_BITBUCKET_HAND_OUT?",
        "--rateLimit: '0' came; a whole number from 1 to 1000000 is expected",
    )


def test_problems_of_a_file_are_told_line_by_line(tmp_path: Path) -> None:
    text = "".join(f"key{number}: x\n" if number % 2 else f"port{number}: -1\n" for number in range(12))
    (tmp_path / "a.yaml").write_text("rateLimit: 0\nnothing: x\nport: 1x\n" + text)
    (tmp_path / "b.yaml").write_text(API + "nothing: y\nrateLimit: -1\n")
    places = [problem.split(":")[:2] for problem in problems(tmp_path)]
    assert places == sorted(places, key=lambda place: (place[0], int(place[1])))
    assert len(places) > 14


def test_a_problem_names_where_the_value_came_from(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(API + "\nport: 1\n")
    expected = "a whole number from 0 to 65535 is expected"
    assert problems(path, environ={"PROBO_BITBUCKET_PORT": "-1"}) == (f"PROBO_BITBUCKET_PORT: '-1' came; {expected}",)
    assert problems(path, options={"port": "70000"}) == (f"--port: '70000' came; {expected}",)
    (problem,) = problems(path, options={"bbWebhookUrl": "hook"})
    assert problem.startswith("--bitbucket-webhook-path: 'hook' came; a path that starts with /, ")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("port: 0755", ":1: port: '0755' came; a whole number from 0 to 65535 is expected"),
        ("port: 1:30", ":1: port: '1:30' came; a whole number from 0 to 65535 is expected"),
        ("\nport: [1]", ":2: port: a list came; a whole number from 0 to 65535 is expected"),
        ("port: true", ":1: port: true or false came; a whole number from 0 to 65535 is expected (text"),
        ("instanceName: {a: 1}", ":1: instanceName: a mapping came; text without line breaks is expected"),
        ("retryFor: -1", ":1: retryFor: '-1' came; a duration (a number of seconds, or 90s, 15m, 24h, 30d) "),
        ("handOut: all", ":1: handOut: 'all' came; handle or token is expected"),
        ("log_level: 70", ":1: log_level: '70' came; a level (trace, debug, info, warn, error, fatal, or 10"),
        ("bbApiUrl: ftp://x", ":1: bbApiUrl: 'ftp://x' came; an http:// or https:// URL without user, query"),
        ("buildUrl: http://x", ":1: buildUrl: 'http://x' came; an http:// or https:// URL with {{buildId}}"),
        ("api: http://cm", ":1: api: text came; a mapping is expected"),
        ("api:\n  url: 'http://cm'\n  tokn: t", ":3: api.tokn: unknown key; did you mean token?"),
        ("zzz: 1", ":1: zzz: unknown key; correct its spelling, or remove it"),
        ("port: 1\n\nport: 2", ":3: 'port' is here twice, first in line 1; remove one"),
        ("- port: 1", ":1: a list came; a mapping (`key: value` lines) is expected"),
        ("buildUrl: {{buildId}}", ":1: a key that is not text; put {{ … }} into quotes"),
        ("port: 1\nhostname: 'x", ":2:13: is not YAML: found unexpected end of stream"),
        ("port: 1\n  hostname: x", ":2:11: is not YAML: mapping values are not allowed here"),
        (b"port: 1\n# Gr\xf6\xdfe\n", ":2: is not UTF-8; save the file in that encoding"),
        ("hostname: \x01", ": is not YAML: it holds a control character"),
        ('hostname: "\\UFFFFFFFF"', ": is not YAML: an escape or number in it is out of range"),
        ("[" * 5000, ": is nested too deeply"),
        ("accounts: &a [*a]", ":1: the alias stands inside of what it names; write the value out"),
    ],
)  # fmt: skip
def test_each_problem_has_its_line_and_what_to_do(tmp_path: Path, text: str | bytes, problem: str) -> None:
    told, *_ = problems_of(tmp_path, text)  # others may follow from it
    assert told.startswith(problem)


def test_only_daemons_with_a_common_database_share_ports_and_only_tcp_ones() -> None:
    options = {"api.url": "http://cm:3020", "sharePort": True, "listen": ["tcp:1", "unix:/run/a"]}
    assert problems(options={**options, "internalListen": ["systemd:domain=INET:index=0", "ssl:2"]}) == (
        "sharePort: needs a PostgreSQL as database, because an SQLite file is for one daemon",
        "sharePort: unix:/run/a cannot be shared, only tcp: and ssl: can",
        "sharePort: systemd:domain=INET:index=0 cannot be shared, only tcp: and ssl: can",
    )
    options |= {"database": "postgresql://probo@db/probo", "listen": ["tcp:1", "ssl:2"]}
    assert config.load([], {}, options).share_port


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    assert f"{path}: cannot be read: No such file or directory" in problems(path)


@pytest.mark.parametrize("value", ["'{BITBUCKET_CLIENT_KEY}'", "{BITBUCKET_CLIENT_KEY}", "<your key>"])
def test_a_placeholder_is_not_taken_for_a_value(tmp_path: Path, value: str) -> None:
    problem = problem_in(tmp_path, f"bbClientKey: {value}\nbbClientSecret: c4n4ry-s")
    assert problem == ":1: bbClientKey: is still the placeholder of an example; put your own value there"


@pytest.mark.parametrize(
    "line",
    [
        "bbWebhookSecret: …",
        "bbWebhookSecret: '...'",
        "bbWebhookSecret: '********'",
        "bbWebhookSecret: a long random text",
        "internalToken: 'a-long-random-text'",
        "bbRefreshToken: …",
        "bbAccessToken: 'access token'",
        "bbApiToken: 'API token'",
        "database: 'postgresql://probo:…@db.example.com/probo_bitbucket'",
    ],
)
def test_what_our_documents_show_in_place_of_a_secret_is_none(tmp_path: Path, line: str) -> None:
    name = line.partition(":")[0]
    problem = problem_in(tmp_path, line)
    assert problem == f":1: {name}: is still the placeholder of an example; put your own value there"


@pytest.mark.parametrize("name", ["bbWebhookSecret", "bbAccessToken", "api.token"])
def test_a_secret_that_is_too_short_is_warned_about_and_taken_as_the_node_handlers_took_it(name: str) -> None:
    def warnings(secret: str) -> list[str]:
        consumer = {"bbClientKey": "consumer-key", "bbClientSecret": "c4n4ry-secret"} if name == "api.token" else {}
        given = config.load([], {}, {"api.url": "http://cm:3020", **consumer, name: secret}).warnings
        return [warning for warning in given if "characters" in warning]

    assert warnings("8-c4n4ry") == []
    [warning] = warnings("7c4n4ry")
    assert "has fewer than 8 characters: it is cut off, or easily guessed" in warning
    assert "7c4n4ry" not in warning


@pytest.mark.parametrize(
    "text",
    [
        "bbClientSecret: [c4n4ry]",
        "bbClientSecret: {c4n4ry: c4n4ry}",
        "bbClientSecret: 'c4n4ry c4n4ry'",
        "bbClientSecret: *c4n4ry",
        "bbClientSecret: !c4n4ry",
        "bbClientSecret: !c4n4ry!x y",
        "bbClientSecret: c4n4ry: c4n4ry",
        "{bbClientSecret:c4n4ry}",
        "bbClientSecret:c4n4ry",
        "bbClientSecret: '<c4n4ry>'",
        "bbClientSecret: |\n  c4n4ry\n",
        "bbWebhookSecret: " + "c4n4ry" * 22,
        "bbWebhookSecret: [a, [c4n4ry]]",
        "database: mysql://me:c4n4ry@db/probo",
        "database: 'postgresql://me:c4n4ry c4n4ry@db/probo'",
        "database: 'postgresql://me:pass@c4n4ry@db/probo'",
        "database: 'postgresql://me:pass/c4n4ry@db/probo'",
        "database: 'postgresql://me:c4n4ry@db:54x2/probo'",
        "database: 'postgresql://db/probo?user=me&password=c4n4ry'",
        "bbApiUrl: http://me:c4n4ry@api",
        "api: {url: 'http://a', token: 'c4n4ry c4n4ry'}",
        "accounts: [{name: a, repositories: a, bbAccessToken: 'c4n4ry c4n4ry'}]",
        "bbEmail: a@b\nbbClientSecret: c4n4ry",
    ],
)
def test_no_message_shows_a_secret(tmp_path: Path, text: str) -> None:
    assert MARK not in "".join(problems_of(tmp_path, text))


def test_a_secret_is_given_once(tmp_path: Path) -> None:
    problem = problem_in(tmp_path, "bbAccessToken: c4n4ry-a\nbbAccessTokenFile: b")
    assert problem.startswith(":2: bbAccessTokenFile: stands beside ")
    assert problem.endswith("s.yaml:1: bbAccessToken; give one of the two")


def test_a_secret_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    expected = f":1: bbAccessTokenFile: {tmp_path / 'none'} cannot be read: No such file or directory"
    assert problem_in(tmp_path, "bbAccessTokenFile: none") == expected
    (tmp_path / "latin").write_bytes(b"\xf6")
    assert problem_in(tmp_path, "bbAccessTokenFile: latin").endswith("latin is not UTF-8")


def test_a_secret_file_without_a_secret_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    assert problem_in(tmp_path, "bbAccessTokenFile: empty").startswith(
        ":1: bbAccessTokenFile: a value that is not shown"
    )


def test_a_credential_of_systemd_needs_systemd(tmp_path: Path) -> None:
    assert "CREDENTIALS_DIRECTORY is not set" in problem_in(tmp_path, "bbAccessTokenFile: '%d/token'")


def test_nested_aliases_do_not_multiply(tmp_path: Path) -> None:
    names = [f"a{number}" for number in range(40)]
    lines = ["a0: &a0 x"] + [f"{b}: &{b} [*{a}, *{a}, *{a}]" for a, b in pairwise(names)]
    assert len(problems_of(tmp_path, "\n".join(lines))) == len(names)


@pytest.mark.parametrize(
    "endpoint", ["tcp:bad", "tcp:bad:interface=127.0.0.1", "tcp:port=80x", "ssl:x:privateKey=k", "tcp:65536"]
)
def test_an_endpoint_whose_port_is_none_is_told_as_any_other_setting(tmp_path: Path, endpoint: str) -> None:
    problem = problem_in(tmp_path, f"listen: ['{endpoint}']\n")
    assert problem.endswith(
        f"'{endpoint}' came; a Twisted endpoint, such as tcp:3012 or unix:/run/bitbucket.sock is expected"
    )


@pytest.mark.parametrize("endpoint", ["tcp:80", "tcp:port=80", "tcp:interface=::1:port=80", "tcp:80:interface=h"])
def test_a_port_may_stand_wherever_twisted_takes_it(tmp_path: Path, endpoint: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(f"{API}listen: ['{endpoint}']\n")
    assert config.load([path], {}, {}).listen == (endpoint,)
