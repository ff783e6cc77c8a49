"""The lines of the log: their form, what cannot break them, and what is never in them."""

from __future__ import annotations

import threading
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import Logger, LogPublisher
from twisted.python.failure import Failure
from twisted.python.log import LogPublisher as LegacyPublisher

from probo_bitbucket import logs

TIME = 1795341600.1234  # 2026-11-22T10:00:00.123Z


class Log:
    """A logger whose lines can be read."""

    def __init__(self, level: str = "debug") -> None:
        self.publisher = LogPublisher(logs.LineObserver(self._add, level))
        self.logger = Logger("probo_bitbucket.flow.builds.builder", observer=self.publisher)
        self.text = ""

    def _add(self, line: bytes) -> None:
        self.text += line.decode()

    @property
    def lines(self) -> list[str]:
        return self.text.split("\n")[:-1]


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> logs.Secrets:
    fresh = logs.Secrets()
    monkeypatch.setattr(logs, "secrets", fresh)
    return fresh


def after_time(line: str) -> str:
    return line.partition("Z ")[2]


def refused(time: float, path: str = "/") -> dict[str, object]:
    return {
        "log_time": TIME + time, "log_namespace": "probo_bitbucket.web.gate", "log_format": "Request refused",
        "event": "http.forbidden", "path": path,
    }  # fmt: skip


def test_what_strangers_cause_is_told_once_in_a_while_and_counted(log: Log) -> None:
    for number in range(1000):
        log.publisher(refused(number / 200, f"/{number}"))
    assert [after_time(line) for line in log.lines] == ["info  http.forbidden Request refused path=/0"]
    log.publisher({**refused(9.9), "event": "build.started"})
    assert len(log.lines) == 2
    log.publisher(refused(10.0, "/next"))
    assert [after_time(line) for line in log.lines[2:]] == [
        "info  http.forbidden 999 more in 10 s count=999",
        "info  http.forbidden Request refused path=/next",
    ]


def test_the_number_is_told_with_the_next_line_whatever_it_is_about(log: Log) -> None:
    for time in (0.0, 1.0):
        log.publisher(refused(time))
        log.publisher({**refused(time), "event": "delivery.refused"})
    log.publisher({**refused(60.0), "event": "build.started"})
    names = [after_time(line).split()[1:4] for line in log.lines[2:]]
    assert names == [
        ["http.forbidden", "1", "more"],
        ["delivery.refused", "1", "more"],
        ["build.started", "Request", "refused"],
    ]


def test_a_clock_that_is_set_back_silences_nothing(log: Log) -> None:
    for time in (0.0, -3600.0):
        log.publisher(refused(time))
    assert len(log.lines) == 2


def test_a_line_has_time_level_name_message_and_fields() -> None:
    event = {
        "log_time": TIME, "log_namespace": "probo_bitbucket.flow.builds.builder",
        "log_format": "Build {build} was started",
        "event": "build.started", "build": "b-1", "repository": "acme/site", "attempt": 2, "seconds": 0.25,
    }  # fmt: skip
    assert logs.format_event(event) == (
        "2026-11-22T10:00:00.123Z info  build.started Build b-1 was started "
        "repository=acme/site build=b-1 attempt=2 seconds=0.25\n"
    )


@pytest.mark.parametrize("namespace", ["log_legacy", "twisted.scripts._twistd_unix.UnixAppLogger"])
def test_what_twisted_says_by_itself_has_one_name(namespace: str) -> None:
    event = {"log_time": TIME, "log_namespace": namespace, "log_format": "Hm"}
    assert logs.name_of(event) == "twisted"
    assert logs.name_of({**event, "log_failure": Failure(ValueError())}) == "twisted.failed"


def test_without_an_event_name_the_module_is_named(log: Log) -> None:
    log.logger.warn("Hm")
    assert after_time(log.lines[0]) == "warn  flow.builds.builder Hm"


def test_fields_that_are_not_meant_for_the_log_are_left_out(log: Log) -> None:
    log.logger.info("Asked", token="t0ken", document={"a": 1}, build="b-1", commit=None)
    assert after_time(log.lines[0]) == "info  flow.builds.builder Asked build=b-1"


def test_a_value_with_blanks_or_quotes_can_be_told_from_what_follows(log: Log) -> None:
    log.logger.info("No", branch='a" status=200 "', reason="not there")
    assert after_time(log.lines[0]) == r'info  flow.builds.builder No branch="a\" status=200 \"" reason="not there"'


def test_no_value_can_begin_a_line_or_move_the_cursor(log: Log) -> None:
    hostile = "a\nb\rc\x1b[2Jd\u2028e\x85f\u202eg\x00h"
    log.logger.info("Title {title}", title=hostile, branch=hostile)
    assert len(log.lines) == 1
    assert log.lines[0].isprintable()
    assert r"Title a\nb\rc\x1b[2Jd\u2028e\x85f\u202eg\x00h" in log.lines[0]


@given(st.text())
def test_whatever_the_text_it_is_one_printable_line(text: str) -> None:
    log = Log()
    log.logger.info("{text}", text=text, branch=text)
    assert len(log.lines) == 1
    assert log.lines[0].isprintable()


def test_a_lone_surrogate_is_written(log: Log) -> None:
    log.logger.info("File", file="\udce9.yaml")
    assert after_time(log.lines[0]) == r"info  flow.builds.builder File file=\udce9.yaml"


def fail(text: str) -> None:
    raise ValueError(text)


def test_a_traceback_follows_indented(log: Log) -> None:
    try:
        fail("first\nsecond")
    except ValueError:
        log.logger.failure("Cannot build", build="b-1")
    head, *rest = log.lines
    assert after_time(head) == "critical flow.builds.builder Cannot build build=b-1"
    assert rest[0] == "    Traceback (most recent call last):"
    assert rest[-2:] == ["    builtins.ValueError: first", "    second"]
    assert all(line.startswith("    ") for line in rest)


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("trace", ["debug", "info", "warn", "error", "critical"]),
        ("debug", ["debug", "info", "warn", "error", "critical"]),
        ("info", ["info", "warn", "error", "critical"]),
        ("warn", ["warn", "error", "critical"]),
        ("error", ["error", "critical"]),
        ("fatal", ["critical"]),
    ],
)
def test_the_level_of_the_settings_filters(level: str, shown: list[str]) -> None:
    log = Log(level)
    for name in ("debug", "info", "warn", "error", "critical"):
        getattr(log.logger, name)("x")
    assert [after_time(line).split()[0] for line in log.lines] == shown


def test_events_of_the_old_logging_are_shown(log: Log) -> None:
    old = LegacyPublisher(observerPublisher=log.publisher, publishPublisher=log.publisher)
    old.msg("Site starting on 3012")
    assert after_time(log.lines[0]).endswith("Site starting on 3012")


def test_the_coming_and_going_of_factories_and_ports_is_not_shown(log: Log) -> None:
    log.logger.info("Starting factory {factory!r}", factory=1)
    log.logger.info("Stopping factory {factory!r}", factory=1)
    log.logger.info("Timing out client: {peer}", peer=1)
    LegacyPublisher(observerPublisher=log.publisher, publishPublisher=log.publisher).msg("BoundedSite starting on 3012")
    log.logger.info("Received SIGTERM, shutting down.")
    assert [after_time(line) for line in log.lines] == ["info  flow.builds.builder Received SIGTERM, shutting down."]


@pytest.mark.parametrize("spelling", ["{}", "https://bitbucket.org/?a=1&refreshToken={}"])
@pytest.mark.parametrize("secret", ["s3cr3t", "a/b+c=", 'quo"te', "two words"])
def test_a_secret_is_shown_nowhere(log: Log, secrets: logs.Secrets, secret: str, spelling: str) -> None:
    secrets.hide(secret)
    said = spelling.format(secret)
    try:
        fail(said)
    except ValueError:
        log.logger.failure("Called {url}", url=said, reason=said)
    log.logger.debug("{url}", url=quote(said, safe=""))
    assert secret not in log.text
    assert quote(secret, safe="") not in log.text
    assert log.text.count(logs.HIDDEN) == 4


def test_of_two_secrets_that_overlap_nothing_is_left(secrets: logs.Secrets) -> None:
    secrets.hide("abc")
    secrets.hide("abcdef")
    assert secrets.redact("x abcdef abc y") == "x ‹hidden› ‹hidden› y"


def test_an_empty_secret_hides_nothing(secrets: logs.Secrets) -> None:
    secrets.hide("")
    assert secrets.redact("text") == "text"


def test_passing_secrets_make_room_and_lasting_ones_stay(secrets: logs.Secrets) -> None:
    secrets.hide("lasting-secret")
    for number in range(600):
        secrets.hide(f"token-{number:03}", of="acme")
    assert secrets.redact("lasting-secret token-599 token-000") == "‹hidden› ‹hidden› token-000"


def test_the_passing_secrets_of_one_account_do_not_displace_those_of_another(secrets: logs.Secrets) -> None:
    secrets.hide("token-of-a-quiet-account", of="quiet")
    for number in range(600):
        secrets.hide(f"token-{number:03}", of="busy")
    assert secrets.redact("token-of-a-quiet-account") == "‹hidden›"


def test_secrets_that_two_threads_hide_at_once_are_hidden(
    secrets: logs.Secrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    spellings, begun, over = logs._spellings, threading.Event(), threading.Event()

    def slow(secret: str) -> tuple[str, ...]:
        if not begun.is_set():
            begun.set()
            over.wait(0.3)  # the other one waits for us, as it should
        return spellings(secret)

    def hide_too() -> None:
        secrets.hide("swordfish")
        over.set()

    monkeypatch.setattr(logs, "_spellings", slow)
    first, second = threading.Thread(target=secrets.hide, args=("open-sesame",)), threading.Thread(target=hide_too)
    first.start()
    begun.wait()
    second.start()
    first.join()
    second.join()
    assert secrets.redact("open-sesame swordfish") == f"{logs.HIDDEN} {logs.HIDDEN}"


def test_a_very_short_secret_is_hidden_where_it_stands_alone_and_leaves_other_words_whole(
    secrets: logs.Secrets,
) -> None:
    secrets.hide("a")
    secrets.hide("b+c")
    assert secrets.redact("a build: token=a&x=b%2Bc, b+cd data") == (
        "‹hidden› build: token=‹hidden›&x=‹hidden›, b+cd data"
    )
