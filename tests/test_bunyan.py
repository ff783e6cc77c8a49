"""The log for bunyan's tools: one object a line with bunyan's fields, and never a secret."""

from __future__ import annotations

import json
import os
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import Logger, LogPublisher

from probo_bitbucket import bunyan, logs


class Log:
    """A logger whose records can be read."""

    def __init__(self) -> None:
        publisher = LogPublisher(logs.LineObserver(self._add, "debug", bunyan.format_event))
        self.logger = Logger("probo_bitbucket.flow.builds.builder", observer=publisher)
        self.lines: list[bytes] = []

    def _add(self, line: bytes) -> None:
        self.lines.append(line)

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> logs.Secrets:
    fresh = logs.Secrets()
    monkeypatch.setattr(logs, "secrets", fresh)
    return fresh


def test_a_line_has_bunyans_fields_and_ours_and_no_others() -> None:
    line = bunyan.format_event(
        {
            "log_time": 1795341600.1234, "log_format": "Build {build} was started", "event": "build.started",
            "log_namespace": "probo_bitbucket.flow.builds.builder", "build": "b-1", "repository": "acme/site",
            "pull_request": 7, "commit": None, "document": {"a": 1},
        }
    )  # fmt: skip
    assert line.endswith("}\n")
    assert json.loads(line) == {
        "name": "probo-bitbucket", "hostname": socket.gethostname(), "pid": os.getpid(), "level": 30,
        "msg": "Build b-1 was started", "time": "2026-11-22T10:00:00.123Z", "v": 0, "event": "build.started",
        "repository": "acme/site", "pull_request": 7, "build": "b-1",
    }  # fmt: skip


def test_levels_are_bunyans(log: Log) -> None:
    for name in ("debug", "info", "warn", "error", "critical"):
        getattr(log.logger, name)("x")
    assert [record["level"] for record in log.records] == [20, 30, 40, 50, 60]


def fail(text: str) -> None:
    raise ValueError(text)


def test_an_error_has_its_traceback_in_err(log: Log) -> None:
    try:
        fail("first\nsecond")
    except ValueError:
        log.logger.failure("Cannot build", build="b-1")
    (record,) = log.records
    assert (record["level"], record["msg"], record["build"]) == (60, "Cannot build", "b-1")
    assert (record["err"]["name"], record["err"]["message"]) == ("ValueError", "first\nsecond")
    assert record["err"]["stack"].startswith("Traceback (most recent call last):")


@given(st.text(st.characters(exclude_categories=())))
def test_whatever_the_text_it_is_one_line_of_ascii_that_can_be_read_back(text: str) -> None:
    log = Log()
    log.logger.info("{text}", text=text, branch=text)
    (line,) = log.lines
    assert line.count(b"\n") == 1
    assert line.isascii()
    assert log.records[0]["branch"] == text


@pytest.mark.parametrize(
    "secret", ["s3cr3t", "a/b+c=", 'quo"te\\', "two words", "ümlaut", '"v": 0', "30", "line\nbreak"]
)
def test_a_secret_is_in_no_value_and_the_line_stays_json(log: Log, secrets: logs.Secrets, secret: str) -> None:
    secrets.hide(secret)
    try:
        fail(f"said {secret}")
    except ValueError:
        log.logger.failure("Called {url}", url=f"https://bitbucket.org/?t={secret}", reason=secret, attempt=30)
    (record,) = log.records
    assert record["attempt"] == 30
    told = [record["msg"], record["reason"], record["err"]["message"], record["err"]["stack"]]
    assert [text for text in told if secret in text and logs.HIDDEN not in text] == []
    assert record["reason"] == logs.HIDDEN
    assert record["msg"] == f"Called https://bitbucket.org/?t={logs.HIDDEN}"
