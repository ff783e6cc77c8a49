"""The text of our comment: whatever is in the names of a pull request, it stays a name."""

from __future__ import annotations

import re

from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st

from probo_bitbucket.flow.statuses.comment import LIST_LIMIT, compose, marker
from probo_bitbucket.flow.statuses.display import Display
from probo_bitbucket.flow.statuses.progress import Progress
from probo_bitbucket.model import Phase, Repository, Status, StatusState
from probo_bitbucket.store import Effort
from probo_bitbucket.store.statuses import StoredStatus

DISPLAY = Display("Acme", "", "https://bitbucket.org", comment=True)
SITE = Repository("acme", "site")
COMMIT = "d96c25c4ae50"


def told(
    context: str, state: StatusState, description: str = "[■] make", url: str = "http://b-1.example/"
) -> StoredStatus:
    status = Status(SITE, COMMIT, context[:40], state, context, description, url, "main")
    return StoredStatus(
        "b-1", context, status, None, 1, True, {"t-1": Phase.RUNNING}, Effort(0, None), False, "", None, None, ""
    )


READY = told("Acme/env", StatusState.SUCCESSFUL)


def comment(*steps: StoredStatus, setup: StoredStatus = READY) -> str:
    return compose(COMMIT, Progress(setup.desired, setup, steps, len(steps)), DISPLAY)


_ITEM = re.compile(r"- (✅|❌|⏹️|▶️|⌛) `[^`\n]+`")


@given(st.text(), st.text())
@example("`](http://evil.example) <script>", "```\n# head\n\n[//]: # (x)")
@example("\u2028- item", "a\rb\x85c\x0bd")
def test_no_name_or_command_gets_out_of_its_code_span(name: str, command: str) -> None:
    lines = comment(told(f"Acme/Shell/{name}", StatusState.FAILED, command)).split("\n")
    assert re.fullmatch(r"\*\*`Acme`\*\* ❌ `[^`\n]+`", lines[0])
    assert lines[1:4] == ["", f"[Environment](http://b-1.example/) of commit `{COMMIT}`", ""]
    assert _ITEM.fullmatch(lines[4])
    assert lines[5:] == ["", marker("Acme")]
    assert all(line.isprintable() for line in lines)


def test_each_state_has_its_sign() -> None:
    waiting = evolve(told("Acme/Shell/D", StatusState.INPROGRESS), tasks={"t-1": Phase.PENDING})
    text = comment(
        told("Acme/Shell/A", StatusState.SUCCESSFUL),
        told("Acme/Shell/B", StatusState.STOPPED),
        told("Acme/Shell/C", StatusState.INPROGRESS),
        waiting,
    )
    assert re.findall(r"^- (.*)$", text, re.MULTILINE) == ["✅ `Shell/A`", "⏹️ `Shell/B`", "▶️ `Shell/C`", "⌛ `Shell/D`"]


def test_an_address_cannot_end_its_link() -> None:
    text = comment(setup=told("Acme/env", StatusState.SUCCESSFUL, url="http://x/a)b[c]\"'<d>"))
    assert "[Environment](http://x/a%29b%5Bc%5D%22%27%3Cd%3E) of" in text


def test_a_page_of_bitbucket_is_no_environment() -> None:
    text = comment(
        setup=told("Acme/env", StatusState.SUCCESSFUL, url="https://bitbucket.org/acme/site/pull-requests/1")
    )
    assert "\nEnvironment of commit" in text


def test_a_long_list_is_cut_and_says_so() -> None:
    steps = [told(f"Acme/Shell/{'x' * 500}{number}", StatusState.FAILED, "y" * 4000) for number in range(200)]
    text = comment(*steps)
    assert len(text) < 32_768
    assert f"- and {200 - LIST_LIMIT} more" in text


def test_the_mark_of_an_instance_is_its_own_and_holds_no_markdown() -> None:
    assert marker("Probo") != marker("Probo-dev")
    assert marker("x) [a](b\n") == "[//]: # (probo-bitbucket x---a--b-)"
