"""Bitbucket's rules for build statuses."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from attrs import evolve
from hypothesis import assume, example, given
from hypothesis import strategies as st

from probo_bitbucket.bitbucket import statuses
from probo_bitbucket.model import Phase, Repository, Status, StatusState

SITE = Repository("acme", "site")
COMMIT = "d96c25c4ae50"
COMMIT_PAGE = "https://bitbucket.org/acme/site/commits/d96c25c4ae50"
LONG = "Acme/Shell/Install Drupal and import the database of the live site"

# Any text at all, half surrogate pairs as well.
TEXTS = st.text(st.characters(), max_size=600)
ALIKE = st.text("ab🦆\n", max_size=4).map(lambda tail: "Acme/Shell/Install Drupal and import the database " + tail)


def utf16_units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def compose(
    context: str = "Acme/Shell/Hello",
    phase: Phase = Phase.RUNNING,
    final: bool = False,
    description: str = "[▶] echo hi",
    urls: Sequence[str] = ("http://b1.example.com:3050/",),
) -> Status:
    return statuses.compose(
        SITE,
        COMMIT,
        context=context,
        phase=phase,
        final=final,
        description=description,
        urls=urls,
        refname="feature/readme",
    )


@pytest.mark.parametrize("context", ["Acme/env", "Acme/Shell/Größe", "x" * 40, "🦆" * 20])
def test_a_context_that_fits_is_its_own_key(context: str) -> None:
    assert statuses.key(context) == context


def test_a_longer_context_keeps_its_head_and_gets_a_hash() -> None:
    assert statuses.key(LONG) == "Acme/Shell/Install Drupal and i~1225ab49"


def test_a_context_with_control_characters_becomes_one_line_with_a_hash() -> None:
    assert re.fullmatch(r"Acme/Shell/a b~[0-9a-f]{8}", statuses.key("Acme/Shell/a\n\tb"))
    assert statuses.key("Acme/Shell/a\nb") != statuses.key("Acme/Shell/a b")


def test_characters_outside_the_basic_plane_count_twice_and_are_not_halved() -> None:
    shortened = statuses.key("Acme/Shell/" + "🦆" * 20)
    assert shortened.startswith("Acme/Shell/🦆")
    assert utf16_units(shortened) <= 40
    shortened.encode()


@given(TEXTS)
def test_a_key_always_fits_and_stays_what_it_is(context: str) -> None:
    shortened = statuses.key(context)
    assert utf16_units(shortened) <= 40
    assert statuses.key(shortened) == shortened
    shortened.encode()


@given(ALIKE, ALIKE)
@example("x" * 41, "x" * 42)
def test_different_contexts_have_different_keys(one: str, other: str) -> None:
    assume(one != other)
    assert statuses.key(one) != statuses.key(other)


@pytest.mark.parametrize(
    ("phase", "final", "expected"),
    [
        (Phase.PENDING, False, StatusState.INPROGRESS),
        (Phase.RUNNING, False, StatusState.INPROGRESS),
        (Phase.SUCCEEDED, False, StatusState.INPROGRESS),
        (Phase.SUCCEEDED, True, StatusState.SUCCESSFUL),
        (Phase.FAILED, False, StatusState.FAILED),
        (Phase.FAILED, True, StatusState.FAILED),
        (Phase.STOPPED, True, StatusState.STOPPED),
    ],
)
def test_each_phase_has_its_state(phase: Phase, final: bool, expected: StatusState) -> None:
    assert statuses.state(phase, final) is expected


def test_a_status_says_what_it_was_given() -> None:
    assert compose() == Status(
        repository=SITE,
        commit=COMMIT,
        key="Acme/Shell/Hello",
        state=StatusState.INPROGRESS,
        name="Acme/Shell/Hello",
        description="[▶] echo hi",
        url="http://b1.example.com:3050/",
        refname="feature/readme",
    )


def test_the_name_is_the_whole_context_where_it_fits() -> None:
    assert compose(context=LONG).name == LONG
    assert compose(context="n" * 300).name == "n" * 254 + "…"


def test_a_description_is_one_line_and_ends_in_an_ellipsis_where_it_is_cut() -> None:
    assert compose(description="[■] cd web &&\r\n    make\0\n").description == "[■] cd web && make"
    assert compose(description="d" * 255).description == "d" * 255
    assert compose(description="d" * 256).description == "d" * 254 + "…"


@pytest.mark.parametrize(
    ("urls", "expected"),
    [
        (["", "ftp://x/", "https://good/", "https://later/"], "https://good/"),
        (["https://x/" + "y" * 450, "https://good/"], "https://good/"),
        (["https://x/{id}"], "https://x/%7Bid%7D"),
        (["https://x/" + "{" * 200], COMMIT_PAGE),
        (["https://x/a b", "javascript:alert(1)", "//x/", "https:///x", "http://[half/"], COMMIT_PAGE),
        ([], COMMIT_PAGE),
    ],
)
def test_the_first_address_that_bitbucket_takes_is_shown(urls: list[str], expected: str) -> None:
    assert compose(urls=urls).url == expected


@given(TEXTS, TEXTS, st.lists(TEXTS.map(lambda text: "https://x/" + text), max_size=3))
def test_a_status_is_always_within_the_limits(context: str, description: str, urls: list[str]) -> None:
    status = compose(context=context, description=description, urls=urls)
    assert utf16_units(status.key) <= 40
    assert utf16_units(status.name) <= 255
    assert utf16_units(status.description) <= 255
    assert utf16_units(status.url) <= 450
    assert status.url.startswith("https://")
    assert not re.search(r"[\s{}]", status.url)
    assert len((status.name + status.description).splitlines()) <= 1


def test_another_icon_alone_is_the_same_to_a_reader() -> None:
    pending, running = compose(description="[⌛] echo hi"), compose(description="[▶] echo hi")
    assert statuses.same_to_a_reader(pending, running)
    assert statuses.same_to_a_reader(pending, pending)


def test_another_text_address_or_state_is_not_the_same_to_a_reader() -> None:
    running = compose()
    assert not statuses.same_to_a_reader(running, compose(description="[▶] echo bye"))
    assert not statuses.same_to_a_reader(running, compose(urls=["https://elsewhere/"]))
    assert not statuses.same_to_a_reader(running, compose(phase=Phase.SUCCEEDED, final=True))
    assert not statuses.same_to_a_reader(running, evolve(running, commit="0" * 12))


def test_an_end_is_never_taken_for_the_same() -> None:
    ended = compose(phase=Phase.SUCCEEDED, final=True)
    assert not statuses.same_to_a_reader(ended, ended)
