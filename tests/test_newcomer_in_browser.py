"""The newcomer's way in `probo-bitbucket sandbox --from-nothing`, by what it prints and what its pages say.

In a browser, and on a terminal: set up, a webhook added and tried, a pull request followed to its last status.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from tests.browser import Browser

COMMAND = Path(sys.executable).with_name("probo-bitbucket")  # as `make demo` starts it; it is not on the PATH there
PATH = "/usr/bin:/bin"
ANY_PORTS = ("--bitbucket-port=0", "--daemon-port=0", "--container-manager-port=0")


class Newcomer:
    """Knows what the sandbox printed when it began, and nothing else."""

    def __init__(self, browser: Browser, printed: str) -> None:
        self.browser = browser
        self.printed = printed
        self.attentive = True  # whether pictures are taken, and the pages examined

    def address(self, name: str) -> str:
        """What was printed as the address of *name*."""
        return str(re.findall(rf"(?m)^{re.escape(name)} +(\S+)", self.printed)[0])

    def look(self, name: str) -> None:
        if self.attentive:
            self.browser.look(f"newcomer-{name}")

    def add_consumer(self, callback_url: str) -> tuple[str, str]:
        """As the set-up page and the command tell one to; the key and the secret that Bitbucket shows then."""
        browser = self.browser
        browser.open(self.address("Bitbucket"))
        self.look("2-bitbucket")
        browser.press("Settings of acme")
        self.look("2-workspace")
        browser.press("OAuth consumers")
        browser.press("Add consumer")
        browser.labelled("Name").send_keys("Probo")
        browser.labelled("Callback URL").send_keys(callback_url)
        for ticked in ("This is a private consumer", "Pull requests: Read", "Webhooks: Read and write"):
            browser.labelled(ticked).click()
        self.look("2-new-consumer")
        browser.submit("Save")
        browser.press("Probo")
        self.look("2-consumer")
        return browser.described("Key"), browser.described("Secret")

    def open_pull_request(self) -> None:
        """On the pages of the simulated Bitbucket, as anybody does who plays with it."""
        browser = self.browser
        browser.open(f"{self.address('Bitbucket')}/acme/site")
        self.look("8-repository")
        browser.press("Webhooks")
        browser.await_text("Latest requests")
        self.look("8-webhooks")
        browser.press("Edit")
        self.look("8-webhook")
        browser.press("Webhooks")
        browser.press("acme/site")
        browser.press("Open a pull request")
        browser.await_text("Change the page")


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    """In front of a sandbox of its own, which has to end in order."""
    browser = Browser()
    process = subprocess.Popen(
        [COMMAND, "sandbox", "--from-nothing", *ANY_PORTS],
        env={**os.environ, "TMPDIR": str(tmp_path), "PATH": PATH},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        printed = ""
        while "Ctrl-C" not in printed:
            line = process.stdout.readline()
            assert line, process.stderr and process.stderr.read()
            printed += line
        yield Newcomer(browser, printed)
    finally:
        browser.close()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_in_a_browser(newcomer: Newcomer) -> None:
    browser = newcomer.browser
    _set_up(newcomer)
    browser.press("Add the webhook")
    browser.labelled("Add a webhook").send_keys("acme/site", Keys.ENTER)
    browser.await_text("made")
    newcomer.look("5-webhook")
    browser.press("Test acme/site")
    browser.await_text("works, ")
    newcomer.look("6-webhook-works")
    browser.press("Overview")
    browser.await_text("Live")
    newcomer.look("7-waiting")
    newcomer.open_pull_request()
    _follow(newcomer)


def _set_up(newcomer: Newcomer) -> None:
    browser = newcomer.browser
    browser.open(newcomer.address("its dashboard"))
    newcomer.look("1-nothing")
    browser.open(re.findall(r"Begin at (\S+/setup)", newcomer.printed)[0])
    callback_url = browser.find("#callback").text
    key, secret = newcomer.add_consumer(callback_url)
    browser.open(newcomer.address("set-up page"))
    browser.labelled("Key").send_keys(key)
    browser.labelled("Secret").send_keys(secret)
    newcomer.look("3-consumer")
    browser.press("Continue to Bitbucket")
    browser.await_text("asks for")
    newcomer.look("3-consent")
    browser.press("Grant access")
    browser.await_text("Bitbucket agreed")
    newcomer.look("4-credentials")
    browser.press("Store them and start to work")
    browser.await_text("The credentials are in use")
    newcomer.look("4-set-up")


def _follow(newcomer: Newcomer) -> None:
    browser = newcomer.browser
    browser.open(newcomer.address("its dashboard"))
    browser.await_text("succeeded")
    newcomer.look("9-built")
    browser.press("pullrequest:created")
    browser.await_text("Build started")
    browser.await_text("ProboCI/Script/Run the tests")
    newcomer.look("10-story")
    browser.press("acme/site#1")
    browser.press("Open on Bitbucket")
    browser.await_text("[■] Environment ready")
    newcomer.look("11-statuses")
    assert {each.text for each in browser.find_all("td .state")} == {"SUCCESSFUL"}


@pytest.mark.secret_in("said", "the address of the consent page, which the watch knows where it hears all at once")
def test_on_a_terminal(newcomer: Newcomer) -> None:
    """With the commands that were printed. The pages are those of the other way."""
    browser = newcomer.browser
    newcomer.attentive = False
    commands = re.findall(r"(?m)^ +(\S*probo-bitbucket .+)$", newcomer.printed)
    assert [each.partition(" ")[2].rpartition(" -c ")[0] for each in commands] == [
        "setup --store",
        "hooks add acme/site",
        "hooks test acme/site",
    ]
    setup, add, test = commands
    _talk(newcomer, setup)
    assert "made" in _run(add)
    assert "works, " in _run(test)
    newcomer.open_pull_request()
    browser.await_text("[■] Environment ready")
    wrong = [
        line for line in _run(setup.replace(" setup --store ", " check ")).splitlines() if not line.startswith("ok ")
    ]
    assert wrong == []


def _talk(newcomer: Newcomer, command: str) -> None:
    """Answer what the command of the set-up asks, and do what it says."""
    browser, pipe, env = newcomer.browser, subprocess.PIPE, {**os.environ, "PATH": PATH}
    with subprocess.Popen(
        ["/bin/sh", "-c", command], env=env, stdin=pipe, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        assert process.stdin
        callback_url = _read_to(process, r"Callback URL +(\S+)")
        key, secret = newcomer.add_consumer(callback_url)
        process.stdin.write(f"{key}\n{secret}\n")
        process.stdin.flush()
        browser.open(_read_to(process, r"(http\S+/authorize\S+)"))
        browser.await_text("asks for")
        browser.press("Grant access")
        browser.await_text("copy the whole address of this page there")
        browser.look("newcomer-terminal")
        said, _ = process.communicate(f"{browser.url}\n", timeout=30)
    assert "Stored." in said
    browser.open(newcomer.address("its dashboard"))
    browser.reload_until_gone("Set credentials up")


def _read_to(process: subprocess.Popen[str], pattern: str) -> str:
    """What *pattern* finds first in what the process says."""
    assert process.stdout
    for line in process.stdout:
        if found := re.search(pattern, line):
            return found[1]
    raise AssertionError(pattern)


def _run(command: str) -> str:
    """What *command* says, given to a shell as it was printed."""
    env = {**os.environ, "PATH": PATH}
    done = subprocess.run(["/bin/sh", "-c", command], env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
