"""Every state has words and a sign on pages, and times read as people say them."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any, cast

import pytest

from probo_bitbucket.flow.oversight.verdict import Grade
from probo_bitbucket.model import BuildState, DeliveryState, PullRequestState, StatusState
from probo_bitbucket.store.views.outcome import Outcome, outcome
from probo_bitbucket.store.views.tries import Tries
from probo_bitbucket.web.pages import _environment
from probo_bitbucket.web.wording import STAGES, ago, badge, clock, linked, remedy, span


@pytest.mark.parametrize("state", [*DeliveryState, *StatusState, *PullRequestState, *Outcome, *Grade])
def test_every_state_has_a_badge(state: StrEnum) -> None:
    assert badge(state).word
    assert badge(state).sign


@pytest.mark.parametrize("state", list(BuildState))
def test_every_state_of_a_build_has_words_and_an_outcome(state: BuildState) -> None:
    assert STAGES[state]
    assert badge(outcome(state, None))


def test_a_build_is_what_its_statuses_say_once_it_runs() -> None:
    running, failed, successful = StatusState.INPROGRESS, StatusState.FAILED, StatusState.SUCCESSFUL
    assert outcome(BuildState.RUNNING, None) is Outcome.RUNNING
    assert outcome(BuildState.RUNNING, running) is Outcome.RUNNING
    assert outcome(BuildState.RUNNING, failed) is Outcome.FAILED
    assert outcome(BuildState.ENDED, successful) is Outcome.SUCCEEDED
    assert outcome(BuildState.ENDED, running) is Outcome.STOPPED


def test_times_read_as_people_say_them() -> None:
    assert clock(1795383963.0) == "22 Nov 2026, 21:46:03"
    assert [ago(0.0, now) for now in (0.2, 59.0, 61.0, 7300.0, 200_000.0)] == [
        "now", "59 s ago", "1 min ago", "2 h ago", "2 d ago",
    ]  # fmt: skip
    assert ago(90.0, 0.0) == "in 1 min"
    assert [span(each) for each in (0.0421, 1.25, 75.0, 720.0)] == ["42 ms", "1.2 s", "75 s", "12 min"]


def test_what_had_something_built_leads_to_its_delivery() -> None:
    assert linked("rebuild of delivery 13") == 'rebuild of <a href="/deliveries/13">delivery 13</a>'
    assert linked("an operator") == "an operator"
    assert linked("<b> delivery 1") == '&lt;b&gt; <a href="/deliveries/1">delivery 1</a>'


def test_a_remedy_that_has_a_button_names_it() -> None:
    assert remedy("probo-bitbucket hooks repair acme/site", "acme/site") == "press Repair"
    assert remedy("probo-bitbucket hooks remove acme/site", "acme") == "press Remove beside acme/site"
    assert remedy("set publicUrl", "acme") == "set publicUrl"


def test_what_was_before_a_story_began_has_no_time_since_then() -> None:
    """As what Bitbucket was told by an earlier build of the commit."""
    exactly = _environment().get_template("parts.html").module.exactly  # type: ignore[attr-defined]
    assert "after 1.0 s" in exactly(61.0, 60.0)
    assert "faint" not in exactly(59.0, 60.0)


@pytest.mark.parametrize(
    ("next_at", "said"),
    [(160.0, "Waits, next in 1 min:"), (100.0, "Waits; its turn is now:"), (0.0, "Waits; its turn")],
)
def test_work_that_waits_says_when_its_turn_is(next_at: float, said: str) -> None:
    parts = _environment().get_template("parts.html").module
    shown = cast(Any, parts).tries(Tries(True, 0, "there are no credentials", next_at), 100.0)
    assert said in re.sub("<[^>]+>", "", shown)
