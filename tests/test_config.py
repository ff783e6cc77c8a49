"""Settings are read, merged and given the types that the keys say."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from probo_bitbucket import config
from probo_bitbucket.credentials import covers

API = {"PROBO_BITBUCKET_API_URL": "http://cm:3020"}
CONSUMER = "bbClientKey: k\nbbClientSecret: c4n4ry-s\n"  # which coordinator mode needs
EXAMPLE = Path(__file__).parent.parent / "etc" / "probo-bitbucket.yaml"

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a settings file that only its owner can read."""

    def write(text: str, name: str = "settings.yaml", mode: int = 0o600) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    return write


def load(
    *files: Path, environ: Mapping[str, str] | None = None, options: Mapping[str, object] | None = None
) -> config.Settings:
    return config.load(files, API | dict(environ or {}), options or {})


def test_everything_but_api_url_has_a_default() -> None:
    settings = load()
    assert (settings.port, settings.hostname, settings.webhook_url) == (3012, "0.0.0.0", "/bitbucket-webhook")  # noqa: S104
    assert (settings.bitbucket_api_url, settings.bitbucket_site_url) == (
        "https://api.bitbucket.org/2.0",
        "https://bitbucket.org",
    )
    assert (settings.instance_name, settings.build_url, settings.hand_out) == ("ProboCI", "", config.HandOut.HANDLE)
    assert (settings.retry_for, settings.retention, settings.rate_limit) == (86400.0, 30 * 86400.0, 1000)
    assert (settings.log_level, settings.log_file_enabled) == ("info", False)
    assert (settings.log_file_period, settings.log_file_count) == (86400.0, 7)
    assert (settings.webhook_secrets, settings.api_token, settings.accounts) == ((), "", ())
    assert (settings.listen, settings.internal_listen, settings.internal_token, settings.ca_file) == ((), (), "", "")
    assert [str(network) for network in settings.internal_access] == ["127.0.0.0/8", "::1/128"]
    assert (settings.webhook_networks, settings.trusted_proxies, settings.repositories) == ((), (), ("*/*",))


def test_a_variable_holds_several_values_with_blanks_between_them() -> None:
    given = {
        "PROBO_BITBUCKET_API_URL": "http://cm:3020",
        "PROBO_BITBUCKET_INTERNAL_ACCESS": "127.0.0.0/8 ::1  10.0.0.1",
    }
    settings = config.load([], {**given, "PROBO_BITBUCKET_BB_WEBHOOK_SECRET": "a c4n4ry of words"}, {})
    assert [str(network) for network in settings.internal_access] == ["127.0.0.0/8", "::1/128", "10.0.0.1/32"]
    assert settings.webhook_secrets == ("a c4n4ry of words",)


def test_the_repositories_that_are_built_are_named_by_globs() -> None:
    settings = load(options={"repositories": ["acme", "initech/site-*"]})
    assert [
        name for name in ("Acme/any", "initech/site-1", "initech/app", "acme2/x") if covers(settings.repositories, name)
    ] == [
        "Acme/any",
        "initech/site-1",
    ]


@pytest.mark.parametrize(
    "name",
    ["acme/sité", "müller", "müller/x", "mü*/x", "acme/a!b", "acme/" + "a" * 129, "acme/..", "acme/", "/site", "a/b/c"],
)
def test_repositories_that_bitbucket_cannot_have_are_refused(name: str) -> None:
    with pytest.raises(config.SettingsError, match=r"repositories: .* came; a workspace, or a glob such as"):
        load(options={"repositories": name})


def test_networks_are_read_with_their_prefix() -> None:
    settings = load(options={"webhookNetworks": ["10.1.2.3", "2001:db8::/32"], "trustedProxies": "::1"})
    assert [str(network) for network in settings.webhook_networks] == ["10.1.2.3/32", "2001:db8::/32"]
    assert [str(network) for network in settings.trusted_proxies] == ["::1/128"]


def test_the_database_is_sqlite_in_the_data_directory_unless_another_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert load().database_url == "sqlite:////probo-bitbucket-data/probo-bitbucket.db"
    assert load(options={"database": "sqlite:///mine.db"}).database_url == "sqlite:////mine.db"
    for url in (
        "postgresql:///probo",
        "postgresql:///probo?host=/run/postgresql&port=5433",
        "postgresql://probo:c4n4ry%40%2F:%23@db.example.com:5432/probo?sslmode=verify-full",
        "postgresql://probo@[::1]:5432/probo",
    ):
        assert load(options={"database": url}).database_url == url


def test_paths_do_not_follow_the_daemon_into_another_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load(options={"dataDir": "here"})
    assert settings.data_dir == tmp_path / "here"
    assert settings.log_file_path.is_absolute()


def test_reading_creates_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    load(options={"dataDir": "here"})
    assert list(tmp_path.iterdir()) == []


def test_later_sources_win(write: Write) -> None:
    first, second = write("port: 1\nhostname: one\n", "1.yaml"), write("port: 2\n", "2.yaml")
    assert load(first, second).port == 2
    assert load(second, first).port == 1
    assert load(first, second).hostname == "one"
    environ = {"PROBO_BITBUCKET_PORT": "3"}
    assert load(first, environ=environ).port == 3
    assert load(first, environ=environ, options={"port": 4}).port == 4
    assert load(first, environ=environ, options={"port": None}).port == 3


def test_a_directory_stands_for_its_yaml_files_by_name(write: Write, tmp_path: Path) -> None:
    write("port: 2", "conf/20.yml")
    write("port: 1\ninstanceName: Acme", "conf/10.yaml")
    write("port: 3", "conf/30.yaml.bak")
    settings = load(tmp_path / "conf")
    assert (settings.port, settings.instance_name) == (2, "Acme")


def test_a_later_mapping_replaces_the_whole_earlier_one(write: Write) -> None:
    first = write("api: {url: 'http://one', token: c4n4ry-t}\nlogFile: {enabled: true, count: 3}", "1.yaml")
    second = write("api: {url: 'http://two'}\nlogFile: {count: 4}", "2.yaml")
    settings = config.load([first, second], {}, {})
    assert (settings.api_url, settings.api_token) == ("http://two", "")
    assert (settings.log_file_enabled, settings.log_file_count) == (False, 4)


def test_the_environment_replaces_one_key_of_a_mapping(write: Write) -> None:
    path = write(f"api: {{url: 'http://one/', token: c4n4ry-t}}\n{CONSUMER}")
    settings = config.load([path], {"PROBO_BITBUCKET_API_TOKEN": "c4n4ry-u"}, {})
    assert (settings.api_url, settings.api_token) == ("http://one", "c4n4ry-u")


def test_an_empty_value_means_the_default(write: Write) -> None:
    settings = load(write("port:\ninstanceName: ''\nlogFile:\n"), environ={"PROBO_BITBUCKET_HOSTNAME": ""})
    assert (settings.port, settings.instance_name, settings.hostname) == (3012, "ProboCI", "0.0.0.0")  # noqa: S104


@pytest.mark.silent_secret("they have to look like numbers")
def test_text_keeps_what_was_written(write: Write) -> None:
    settings = load(write("bbClientKey: 012345\nbbClientSecret: 1_000\nbbWebhookSecret: 1e5\ninstanceName: on\n"))
    assert (
        settings.credentials == config.load([], API, {"bbClientKey": "012345", "bbClientSecret": "1_000"}).credentials
    )
    assert (settings.webhook_secrets, settings.instance_name) == (("1e5",), "on")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("1.5h", 5400), ("30d", 2592000), ("0", 0)]
)
def test_durations_become_seconds(text: str, seconds: float) -> None:
    assert load(options={"retryFor": text}).retry_for == seconds


@pytest.mark.parametrize(("text", "level"), [("warn", "warn"), ("30", "info"), ("35", "warn"), ("60", "fatal")])
def test_bunyans_numbers_are_levels(text: str, level: str) -> None:
    assert load(options={"log_level": text}).log_level == level


@pytest.mark.parametrize(("text", "seconds"), [("1w", 604800), ("daily", 86400), ("12h", 43200), ("never", 0)])
def test_bunyans_periods_become_seconds(text: str, seconds: float) -> None:
    assert load(options={"logFile.period": text}).log_file_period == seconds


def test_a_log_file_can_be_switched_on_by_one_word(write: Write) -> None:
    assert load(write("logFile: true")).log_file_enabled
    assert not load(write("logFile: off")).log_file_enabled


def test_the_webhook_secret_can_be_a_list(write: Write) -> None:
    assert load(write("bbWebhookSecret: [c4n4ry-new, c4n4ry-0123]")).webhook_secrets == ("c4n4ry-new", "c4n4ry-0123")
    assert load(options={"bbWebhookSecret": "c4n4ry-one"}).webhook_secrets == ("c4n4ry-one",)


def test_a_secret_can_be_in_a_file_beside_the_settings(write: Write) -> None:
    write("c4n4ry of the file\n", "hook")
    settings = load(write("bbWebhookSecretFile: hook"))
    assert settings.webhook_secrets == ("c4n4ry of the file",)


def test_a_secret_can_be_a_credential_of_systemd(write: Write, tmp_path: Path) -> None:
    write("c4n4ry-t1\n", "api")
    directory = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    path = write(f"api: {{url: 'http://a', tokenFile: '%d/api'}}\n{CONSUMER}")
    assert load(path, environ=directory).api_token == "c4n4ry-t1"
    environ = directory | {"PROBO_BITBUCKET_API_TOKEN_FILE": "${CREDENTIALS_DIRECTORY}/api"}
    assert load(write(CONSUMER), environ=environ).api_token == "c4n4ry-t1"


def test_a_later_source_may_give_a_secret_in_another_form(write: Write) -> None:
    path = write(f"api: {{url: 'http://a', tokenFile: not-there}}\n{CONSUMER}")
    assert load(path, environ={"PROBO_BITBUCKET_API_TOKEN": "c4n4ry-t"}).api_token == "c4n4ry-t"


def test_aliases_can_be_used(write: Write) -> None:
    assert load(write("instanceName: &name Acme\nhostname: *name")).hostname == "Acme"


def test_a_file_with_secrets_that_others_can_read_is_warned_about(write: Write) -> None:
    open_file = write("bbWebhookSecret: c4n4ry-1", "open.yaml", 0o640)
    closed = write("bbWebhookSecret: c4n4ry-2", "closed.yaml", 0o600)
    harmless = write("port: 1\nbbWebhookSecretFile: closed.yaml", "harmless.yaml", 0o644)
    (warning,) = load(open_file, closed, harmless).warnings
    assert warning == f"{open_file}: holds bbWebhookSecret and is open to other users; run: chmod 600 {open_file}"
    given = write("bbWebhookSecret: c4n4ry-3", "given.yaml", 0o640)
    try:
        os.chown(given, -1, os.getgid() + 1)
    except PermissionError:
        pass  # only root can give a file to a group of others
    else:
        assert load(given).warnings == ()
        given.chmod(0o644)
        (warning,) = load(given).warnings
        assert warning.endswith(f"run: chmod g-w,o= {given}")
    accounts = write(
        "bbWebhookSecretFile: closed.yaml\naccounts: [{name: a, repositories: '*', bbAccessToken: c4n4ry-long-enough}]"
    )
    accounts.chmod(0o644)
    (warning,) = load(accounts).warnings
    assert "holds bbAccessToken" in warning


def test_a_secrets_own_file_that_others_can_read_is_warned_about(write: Write, tmp_path: Path) -> None:
    secret, path = write("c4n4ry-long-enough", "hook", 0o644), write("bbWebhookSecretFile: hook")
    assert load(path).warnings == (f"{secret}: holds a secret and is open to other users; run: chmod 600 {secret}",)
    assert load(path, environ={"CREDENTIALS_DIRECTORY": str(tmp_path)}).warnings == ()
    secret.chmod(0o600)
    assert load(path).warnings == ()


def test_keys_of_the_container_manager_do_nothing(write: Write) -> None:
    path = write("auth: {url: 'http://localhost:3012/auth_lookup'}\nbbWebhookSecret: c4n4ry-long-enough\n")
    assert load(path).warnings == (f"{path}:1: auth: is for the Container Manager and does nothing here",)


@pytest.mark.parametrize(
    ("given", "url", "back"),
    [
        ({}, "http://localhost:3012", True),
        ({}, "http://localhost:3010", False),
        ({}, "http://github.example.org:3012", False),
        ({"hostname": "10.0.0.1"}, "http://10.0.0.1:3012", True),
        ({"listen": "tcp:8080"}, "http://127.0.0.1:8080", True),
        ({"listen": "tcp:8080"}, "http://localhost:3012", False),
        ({"listen": "tcp:80"}, "http://localhost", True),
        ({"internalListen": "tcp:port=3013:interface=127.0.0.1"}, "http://localhost:3013", True),
        ({"publicUrl": "https://probo.example.org"}, "https://probo.example.org", True),
    ],
)
def test_a_handler_that_is_ourselves_is_warned_of(given: dict[str, str], url: str, back: bool) -> None:
    settings = config.load([], {}, {"api.url": "http://cm:3020", "forward.github": url, **given})
    warned = [each for each in settings.warnings if each.startswith(f"forward.github: {url} is this handler itself")]
    assert bool(warned) == back


def test_repr_shows_no_secret() -> None:
    secrets = [key for key in config.KEYS if key.secret and key.attribute != "credentials"]
    given = {key.name: f"c4n4ry-{number}-is-long-enough" for number, key in enumerate(secrets)} | {
        "database": "postgresql://a:c4n4ry@b/c"
    }
    consumer = {"bbClientKey": "k", "bbClientSecret": "c4n4ry", "bbRefreshToken": "c4n4ry", "bbAccessToken": "c4n4ry"}
    for credentials in (consumer, {"bbAccessToken": "c4n4ry"}, {"bbEmail": "a@b", "bbApiToken": "c4n4ry"}):
        options = given | credentials | ({} if credentials is consumer else {"api.token": None})
        settings = load(options=options)
        assert settings.internal_token.startswith("c4n4ry")
        assert "c4n4ry" not in repr(settings)


def test_every_attribute_of_settings_comes_from_a_key() -> None:
    attributes = {attribute.name for attribute in config.Settings.__attrs_attrs__}
    assert attributes == {key.attribute for key in config.KEYS} | {"warnings"}


def test_the_example_names_every_key_and_works_as_it_is_and_once_it_is_filled_in(write: Write) -> None:
    text = EXAMPLE.read_text()
    for key in config.KEYS:
        assert re.search(rf"\b{key.name.rpartition('.')[2]}:", text), key.name
    assert config.load([EXAMPLE], {}, {}).credentials is None
    uncommented = re.sub(r"^# (?=bb\w+: '\{)", "", text, flags=re.MULTILINE)
    with pytest.raises(config.SettingsError) as caught:
        config.load([write(uncommented)], {}, {})
    assert len(caught.value.problems) == 3
    assert all("placeholder" in problem for problem in caught.value.problems)
    filled = write(re.sub(r"\{[A-Z_]+\}", "c4n4ry-mine", uncommented))
    defaults = config.load([], {"PROBO_BITBUCKET_API_URL": "http://localhost:3020"}, {})
    assert config.load([filled], {}, {}).port == defaults.port


def test_the_commented_lines_of_the_example_are_settings(write: Write) -> None:
    """Only one kind of credentials may stay, so theirs are taken out."""
    lines = [re.sub(r"^# (?=( *- | +)?[A-Za-z_]+:(\s|$))", "", line) for line in EXAMPLE.read_text().splitlines()]
    lines = [line for line in lines if not re.match(r"bb(Client|Refresh|Access|Email|ApiToken)", line)]
    text = "\n".join(line for line in lines if not line.startswith("#")).replace("File: secrets/acme", ": c4n4ry-t")
    text = re.sub("(a.long.random.text)", r"\1-c4n4ry", text)  # as it is, it is refused
    text = text.replace("postgresql://probo:password@", "postgresql://probo:c4n4ry@")
    path = write(re.sub("caFile: .*", "caFile:", text))
    settings = config.load([path], {}, {})
    assert settings.accounts[0].repositories == ("acme/*", "acme-labs/site-*")
    assert settings.build_url == "http://{{buildId}}.example.com:3050/"
