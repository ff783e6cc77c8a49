"""Status updates of the Container Manager."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import asdict
from hypothesis import given
from hypothesis import strategies as st

from probo_bitbucket import logs
from probo_bitbucket.model import Phase, Update
from probo_bitbucket.probo import updates
from probo_bitbucket.probo.updates import Reported, UpdateError, read

UPDATE = {
    "state": "running",
    "description": "[▶] echo hi",
    "context": "Acme/Shell/Hello",
    "target_url": "http://b1.example.com:3050/",
    "task": {"id": "688110c8a1c00000", "name": "Hello", "plugin": "Shell", "result": {"code": None, "time": None}},
}
BUILD = {
    "id": "b1",
    "type": "pull_request",
    "commit": {"ref": "d96c25c4ae50", "htmlUrl": "https://bitbucket.org/acme/site/commits/d96c25c4ae50"},
    "branch": {"name": "feature/readme"},
    "pullRequest": {"number": "7", "htmlUrl": "https://bitbucket.org/acme/site/pull-requests/7"},
    "project": {
        "id": "acme-site",
        "slug": "acme/site",
        "service_auth": {"token": "AT0", "refreshToken": "RT0"},
        "provider": {"type": "bitbucket", "slug": "bitbucket"},
    },
    "steps": [],
}


def body(update: Any = None, build: Any = None) -> bytes:
    """Return a status update, with some fields of its `update` or `build` replaced."""
    return json.dumps({"update": UPDATE | (update or {}), "build": BUILD | (build or {})}).encode()


def refusal(given: bytes) -> str:
    with pytest.raises(UpdateError) as refused:
        read(given)
    return str(refused.value)


def test_an_update_is_read_whole() -> None:
    assert read(body()) == Reported(
        update=Update(
            build_id="b1",
            context="Acme/Shell/Hello",
            phase=Phase.RUNNING,
            state="running",
            description="[▶] echo hi",
            final=False,
            target_url="http://b1.example.com:3050/",
            task_id="688110c8a1c00000",
        ),
        provider="bitbucket",
        project_slug="acme/site",
        commit="d96c25c4ae50",
        commit_url="https://bitbucket.org/acme/site/commits/d96c25c4ae50",
        branch="feature/readme",
        pull_request_url="https://bitbucket.org/acme/site/pull-requests/7",
    )


def test_the_path_wins_over_the_body() -> None:
    reported = read(body(), build_id="b2", context="Acme/env")
    assert (reported.update.build_id, reported.update.context) == ("b2", "Acme/env")


def test_the_path_is_enough() -> None:
    update = read(b'{"update": {"state": "pending"}, "build": {}}', build_id="b2", context="Acme/env").update
    assert update == Update("b2", "Acme/env", Phase.PENDING, "pending", "", final=False)


def test_a_build_of_which_little_is_told_is_taken() -> None:
    reported = read(body(build={"commit": None, "branch": None, "pullRequest": None, "project": None}))
    assert (reported.commit, reported.branch, reported.project_slug) == ("", "", "")


@pytest.mark.parametrize(
    ("state", "phase"),
    [
        ("pending", Phase.PENDING),
        ("running", Phase.RUNNING),
        ("success", Phase.SUCCEEDED),
        ("error", Phase.FAILED),
        ("fail", Phase.FAILED),
        ("failure", Phase.FAILED),
        ("failed", Phase.FAILED),
        ("Error", Phase.FAILED),
    ],
)
def test_each_known_state_has_its_phase_and_leaves_the_description_alone(state: str, phase: Phase) -> None:
    update = read(body({"state": state})).update
    assert (update.phase, update.state, update.description) == (phase, state, "[▶] echo hi")


@pytest.mark.parametrize("state", ["cancelled", "canceled", "stopped", "aborted", "Exploded"])
def test_every_other_state_is_stopped_and_named_in_the_description(state: str) -> None:
    update = read(body({"state": state})).update
    assert (update.phase, update.state) == (Phase.STOPPED, state)
    assert update.description == f"[▶] echo hi (original state: {state})"
    assert read(body({"state": state, "description": None})).update.description == f"(original state: {state})"


@pytest.mark.parametrize(
    ("state", "description", "final"),
    [
        ("success", "[■] Environment ready", True),
        ("success", "[▶] Environment built", False),
        ("success", "[⌛] waiting", False),
        ("success", "Environment ready", True),
        ("success", None, True),
        ("error", "[■] false", True),
        ("error", "[▶] BitbucketDownloader", False),
        ("error", "no .probo.yaml", True),
        ("cancelled", "", True),
        ("running", "echo hi", False),
        ("pending", "", False),
    ],
)
def test_only_the_end_is_final(state: str, description: str | None, final: bool) -> None:
    assert read(body({"state": state, "description": description})).update.final is final


@pytest.mark.parametrize(
    ("task", "task_id"),
    [(None, ""), ({}, ""), ({"id": None}, ""), ({"id": 5}, "5"), ({"id": 1.5}, "1.5"), ({"id": True}, "true")],
)
def test_a_task_may_be_called_by_any_scalar(task: Any, task_id: str) -> None:
    assert read(body({"task": task})).update.task_id == task_id


@pytest.mark.parametrize("number", ["7", 7, None, "x", [], {}])
def test_what_nobody_reads_refuses_no_update(number: Any) -> None:
    assert read(body(build={"pullRequest": {"number": number}})).update.context == "Acme/Shell/Hello"


def test_a_bare_update_misses_both_parts() -> None:
    assert refusal(json.dumps(UPDATE).encode()) == "`update` and `build` are missing"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (b"", "the body is not JSON: Input data was truncated"),
        (b"[]", "the body must be an object, not a list"),
        (b'{"build": {}}', "`update` is missing"),
        (b'{"update": {"state": "x"}}', "`build` is missing"),
        (b'{"update": null, "build": {}}', "`update` must be an object, not null"),
        (b'{"update": {}, "build": {}}', "`update.state` is missing"),
        (body({"state": ""}), "`update.state` is missing"),
        (body({"state": 1}), "`update.state` must be text, not a whole number"),
        (body({"context": None}), "`update.context` is missing"),
        (body({"task": {"id": []}}), None),
        (body(build={"id": None}), "`build.id` is missing"),
        (body(build={"commit": {"ref": 5}}), "`build.commit.ref` must be text or null, not a whole number"),
    ],
)
def test_what_is_missing_or_wrong_is_named(given: bytes, message: str | None) -> None:
    said = refusal(given)
    assert said == message if message else said.startswith("`update.task.id` must be ")


def test_texts_lose_their_nul_and_are_bounded() -> None:
    reported = read(body({"description": "a\0b" + "c" * 100_000, "state": "s" * 1_000}), context="Acme/\0env")
    assert reported.update.context == "Acme/env"
    assert reported.update.description.startswith("abccc")
    assert all(len(text) < 5_000 for text in asdict(reported.update).values() if isinstance(text, str))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(st.sampled_from(sorted(UPDATE)), JSON, st.sampled_from(sorted(BUILD)), JSON)
def test_any_value_anywhere_gives_an_update_or_a_refusal(name: str, value: Any, build_name: str, other: Any) -> None:
    try:
        reported = read(body({name: value}, {build_name: other}))
    except UpdateError as refused:
        assert str(refused)
        return
    assert reported.update.context
    assert reported.update.build_id


@given(JSON)
def test_any_json_gives_an_update_or_a_refusal(document: Any) -> None:
    with pytest.raises(UpdateError):
        read(json.dumps(document).encode())


def test_a_description_shows_no_token_and_keeps_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    known = logs.Secrets()
    monkeypatch.setattr(updates, "redact_tokens", known.redact_tokens)
    for secret in ("a-live-access-token/of=2600", "webhook", "env"):
        known.hide(secret)
    said = "[▶] the webhook of env: curl -H 'Bearer a-live-access-token/of=2600' ?t=a-live-access-token%2Fof%3D2600"
    told = read(body({"description": said})).update.description
    assert told == f"[▶] the webhook of env: curl -H 'Bearer {logs.HIDDEN}' ?t={logs.HIDDEN}"


def test_a_token_that_is_cut_off_at_the_end_of_a_description_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    known = logs.Secrets()
    monkeypatch.setattr(updates, "redact_tokens", known.redact_tokens)
    known.hide("T" * 2600)
    assert "TTT" not in read(body({"description": "x" * 3000 + "T" * 2600})).update.description
