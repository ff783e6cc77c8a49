"""The watch can fail: a test with a secret in a wrong place is found out, whichever place that is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

LEAKS = """
import base64, sqlite3, subprocess, sys
from contextlib import closing

import pytest
from twisted.logger import Logger
from twisted.trial.unittest import TestCase

from probo_bitbucket import config
from probo_bitbucket.logs import hide
from probo_bitbucket.sandbox.credentials import Consumer
from probo_bitbucket.store import credentials, house
from probo_bitbucket.web.sessions import Session
from tests.canaries import canary
from tests.canary_watch import watch
from tests.immediate import ImmediateStore
from tests.staged import StageTestCase

SECRET = canary("secret")


class Logs(TestCase):
    def test_log(self):
        Logger().debug("We have {it}", it=SECRET)

    def test_log_in_base64(self):
        Logger().debug(base64.b64encode(f"key:{SECRET}".encode()).decode())

    def test_log_of_what_the_handler_makes_up(self):
        Logger().debug(Session(0.0).leave("default", "key", SECRET, 0.0))

    @pytest.mark.secret_in("log", "it is what this is about")
    def test_expected(self):
        Logger().debug(SECRET)

    @pytest.mark.secret_in("store", "it is what this is about")
    def test_expected_elsewhere(self):
        Logger().debug(SECRET)


def test_log_of_a_process(tmp_path):
    (tmp_path / "bitbucket.log").write_text(SECRET)


def test_said_by_a_process():
    subprocess.run([sys.executable, "-c", f"print({SECRET!r})"], stdout=subprocess.PIPE)


def test_said_line_by_line():
    with subprocess.Popen([sys.executable, "-c", f"print({SECRET!r})"], stdout=subprocess.PIPE) as process:
        next(iter(process.stdout))


def test_said_of_what_a_process_made_up():
    subprocess.run([sys.executable, "-c", "import secrets; print(secrets.token_hex(32))"], stdout=subprocess.PIPE)


def test_typed():
    watch.typed(f"Key: {SECRET}")


def test_log_of_a_sandbox_that_is_a_process(tmp_path):
    code = "from probo_bitbucket.sandbox import stage; print(stage.SECRET)"
    subprocess.run([sys.executable, "-c", code], stdout=(tmp_path / "sandbox.log").open("w"))


def test_unmarked_in_settings():
    config.load([], {}, {"api.url": "http://cm", "bbAccessToken": "a-plain-one", "database": "postgresql://a:b@c/d"})


def test_unmarked_in_the_store(tmp_path):
    ImmediateStore(tmp_path / "store").now(credentials.begin, "default", "a-plain-one")


def test_unmarked_at_bitbucket_and_in_the_log():
    Consumer("key", "a-plain-one", "", frozenset())
    hide("another-plain-one")


@pytest.mark.silent_secret("it is what this is about")
def test_unmarked_as_expected():
    Consumer("key", "a-plain-one", "", frozenset())


def test_log_of_the_key_of_handles(tmp_path):
    (tmp_path / "bitbucket.log").write_text(ImmediateStore(tmp_path / "store").now(house.secret, "handle key"))


def test_store(tmp_path):
    ImmediateStore(tmp_path / "store").now(credentials.begin, SECRET, "")


def test_store_where_it_belongs(tmp_path):
    ImmediateStore(tmp_path / "store").now(credentials.begin, "default", SECRET)


class Wire(StageTestCase):
    async def test_store_that_is_gone(self):
        with closing(sqlite3.connect(self.folder / "other.db")) as database, database:
            database.execute("CREATE TABLE kept AS SELECT ? AS it", (SECRET,))

    async def test_asked(self):
        await self.client.get(f"{self.container_manager.url}/builds/{SECRET}", headers={"Authorization": SECRET})

    async def test_asked_where_it_belongs(self):
        await self.client.get(f"{self.container_manager.url}/builds/1", headers={"Authorization": SECRET})

    async def test_answered(self):
        build = {"id": "x", "commit": {"ref": "a" * 40}, "project": {"slug": "a/b", "provider": {"type": "bitbucket"}}}
        update = {"state": "running", "context": "c", "description": SECRET}
        await self.call("POST", "/update", {"update": update, "build": build})

    async def test_answered_where_it_belongs(self):
        self.assertEqual(set((await self.built(self.repository.open_pull_request())).values()), {"SUCCESSFUL"})
"""

FOUND = {
    "test_log": "log",
    "test_log_in_base64": "log",
    "test_log_of_what_the_handler_makes_up": "log",
    "test_expected_elsewhere": "log",
    "test_log_of_a_process": "log bitbucket.log",
    "test_said_by_a_process": "said",
    "test_said_line_by_line": "said",
    "test_said_of_what_a_process_made_up": "said",
    "test_typed": "typed",
    "test_log_of_a_sandbox_that_is_a_process": "log sandbox.log",
    "test_log_of_the_key_of_handles": "log bitbucket.log",
    "test_store": "store",
    "test_store_that_is_gone": "store",
    "test_asked": "asked GET /builds/c4n4ry-secret",
    "test_answered": "answered /update",
}

UNMARKED = {
    "test_unmarked_in_settings": ["a-plain-one", "b"],
    "test_unmarked_in_the_store": ["a-plain-one"],
    "test_unmarked_at_bitbucket_and_in_the_log": ["a-plain-one", "another-plain-one"],
}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest says of tests with leaks."""
    leaks = tmp_path_factory.mktemp("leaks") / "test_leaks.py"
    leaks.write_text(LEAKS)
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "-p", "tests.conftest", str(leaks)]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True).stdout


def test_each_leak_fails_its_test_and_nothing_else_does(said: str) -> None:
    assert set(re.findall(r"(?m)^ERROR .*::(\w+)", said)) == {*FOUND, *UNMARKED}, said
    assert "FAILED" not in said


@pytest.mark.parametrize(("name", "place"), FOUND.items())
def test_a_failure_names_the_place(said: str, name: str, place: str) -> None:
    assert f"\n{place}: …" in failure(said, name)


@pytest.mark.parametrize(("name", "secrets"), UNMARKED.items())
def test_a_secret_without_the_mark_fails_the_test_that_has_it(said: str, name: str, secrets: list[str]) -> None:
    assert f"Secrets without the mark of a canary: {secrets}" in failure(said, name)


def failure(said: str, name: str) -> str:
    told = re.search(rf"(?s)_ ERROR at teardown of (?:\w+\.)?{name} _(.*?)(?:\n_{{3}}|\n={{3}})", said)
    assert told is not None, said
    return told[1]
