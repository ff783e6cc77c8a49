"""Webhook payloads."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from attrs import asdict
from hypothesis import given
from hypothesis import strategies as st

from probo_bitbucket.bitbucket.payloads import PayloadError, read
from probo_bitbucket.model import (
    BranchPushed,
    Commented,
    Event,
    Ignored,
    PullRequest,
    PullRequestChanged,
    PullRequestClosed,
    PullRequestState,
    Pushed,
    Repository,
)

RECORDED = Path(__file__).parents[3] / "shared" / "payloads"

SITE = Repository("acme", "site", "{fe244cde}")
PAYLOAD: dict[str, Any] = {
    "actor": {"display_name": "Dana Dev"},
    "repository": {"name": "The Site", "full_name": "acme/site", "uuid": "{fe244cde}", "owner": {"type": "team"}},
    "pullrequest": {
        "id": 7,
        "title": "Change the README",
        "description": "Two\nlines",
        "state": "OPEN",
        "draft": True,
        "author": {"display_name": "Dana Dev", "nickname": "dana", "account_id": "557058:1", "uuid": "{f9aa053b}"},
        "source": {
            "branch": {"name": "feature/readme"},
            "commit": {"hash": "d96c25c4ae50"},
            "repository": {"name": "Dana's Site", "full_name": "dana/site", "uuid": "{00000001}"},
        },
        "destination": {"commit": None, "branch": {"name": "main"}},
        "links": {"html": {"href": "https://bitbucket.org/acme/site/pull-requests/7"}},
    },
}


def payload(path: str = "", value: Any = None) -> dict[str, Any]:
    """Return the payload with *value* put at the dotted *path*."""
    changed = copy.deepcopy(PAYLOAD)
    if path:
        *parents, last = path.split(".")
        place = changed
        for name in parents:
            place = place[name]
        place[last] = value
    return changed


def without(path: str) -> dict[str, Any]:
    """Return the payload without what is at the dotted *path*."""
    changed = copy.deepcopy(PAYLOAD)
    *parents, last = path.split(".")
    place = changed
    for name in parents:
        place = place[name]
    del place[last]
    return changed


def read_json(document: Any, event_key: str = "pullrequest:created") -> Event:
    return read(event_key, json.dumps(document).encode())


def pull_request(document: Any) -> PullRequest:
    event = read_json(document)
    assert isinstance(event, PullRequestChanged)
    return event.pull_request


def refusal(document: Any, event_key: str = "pullrequest:created") -> str:
    with pytest.raises(PayloadError) as refused:
        read_json(document, event_key)
    return str(refused.value)


@pytest.mark.parametrize("event_key", ["pullrequest:created", "pullrequest:updated", "pullrequest:push"])
def test_a_pull_request_is_read_whole(event_key: str) -> None:
    assert read_json(PAYLOAD, event_key) == PullRequestChanged(
        SITE,
        PullRequest(
            number=7,
            title="Change the README",
            description="Two\nlines",
            url="https://bitbucket.org/acme/site/pull-requests/7",
            author="Dana Dev",
            author_id="{f9aa053b}",
            state=PullRequestState.OPEN,
            branch="feature/readme",
            commit="d96c25c4ae50",
            source=Repository("dana", "site", "{00000001}"),
            draft=True,
        ),
    )


@pytest.mark.parametrize(
    "path",
    [
        "repository",
        "repository.full_name",
        "pullrequest",
        "pullrequest.id",
        "pullrequest.state",
        "pullrequest.source",
        "pullrequest.source.branch",
        "pullrequest.source.branch.name",
        "pullrequest.source.commit",
        "pullrequest.source.commit.hash",
        "pullrequest.source.repository",
        "pullrequest.source.repository.full_name",
    ],
)
def test_what_is_missing_is_named(path: str) -> None:
    assert refusal(without(path)) == f"`{path}` is missing"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("pullrequest.id", True, "`pullrequest.id` must be a whole number, not true or false"),
        ("pullrequest.id", 0, "`pullrequest.id` must be a whole number >= 1"),
        ("pullrequest.id", 10**30, "`pullrequest.id` must be a whole number <= 2147483647"),
        ("pullrequest.id", "7", "`pullrequest.id` must be a whole number, not text"),
        ("pullrequest.title", ["x"], "`pullrequest.title` must be text or null, not a list"),
        ("pullrequest.source.branch.name", "\0", "`pullrequest.source.branch.name` is empty"),
        (
            "repository.full_name",
            "acme/../admin",
            "`repository.full_name`: '../admin' is not a workspace or repository slug",
        ),
        (
            "repository.full_name",
            "acme",
            "`repository.full_name`: 'acme' is not of the form workspace/repository",
        ),
        (
            "pullrequest.source.repository.full_name",
            "acme/a b",
            "`pullrequest.source.repository.full_name`: 'a b' is not a workspace or repository slug",
        ),
        (
            "pullrequest.source.commit.hash",
            "$(reboot)",
            "`pullrequest.source.commit.hash`: '$(reboot)' is not a commit hash",
        ),
    ],
)
def test_what_is_wrong_is_named(path: str, value: Any, message: str) -> None:
    assert refusal(payload(path, value)) == message


def test_without_an_event_key_nothing_is_read() -> None:
    assert refusal(PAYLOAD, event_key="") == "the header `X-Event-Key` is missing"


@pytest.mark.parametrize("event_key", ["pullrequest:created", "repo:push", "no:such"])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"text"', b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_refused_for_every_event(event_key: str, body: bytes) -> None:
    with pytest.raises(PayloadError, match="the body"):
        read(event_key, body)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("pullrequest.source.repository", "pull request #7 has no source repository: the fork was deleted"),
        ("pullrequest.source.branch", "pull request #7 has no source branch: it was deleted"),
        ("pullrequest.source.commit", "pull request #7 has no source commit: its branch was deleted"),
        ("pullrequest.source.commit.hash", "pull request #7 has no source commit: its branch was deleted"),
    ],
)
def test_a_deleted_source_is_ignored_with_the_reason(path: str, reason: str) -> None:
    assert read_json(payload(path, None)) == Ignored(reason, SITE)


def test_a_pull_request_in_a_state_that_nobody_knows_is_ignored_with_the_reason() -> None:
    event = read_json(payload("pullrequest.state", "NEW"), "pullrequest:updated")
    assert event == Ignored("pull request #7 is not open: its state is NEW", SITE)


@pytest.mark.parametrize("state", [PullRequestState.MERGED, PullRequestState.DECLINED, PullRequestState.SUPERSEDED])
def test_an_update_of_a_closed_pull_request_tells_that_it_is_closed(state: PullRequestState) -> None:
    event = read_json(payload("pullrequest.state", state), "pullrequest:updated")
    assert event == PullRequestClosed(SITE, 7, state, "feature/readme")


@pytest.mark.parametrize(
    ("event_key", "state"),
    [("pullrequest:fulfilled", PullRequestState.MERGED), ("pullrequest:rejected", PullRequestState.DECLINED)],
)
def test_the_event_that_closes_a_pull_request_says_how_whatever_its_body_says(
    event_key: str, state: PullRequestState
) -> None:
    assert read_json(PAYLOAD, event_key) == PullRequestClosed(SITE, 7, state, "feature/readme")


@pytest.mark.parametrize("source", [None, {}, {"branch": None}, {"repository": None, "branch": {"name": "gone"}}])
def test_a_pull_request_can_be_closed_whose_source_is_gone(source: Any) -> None:
    event = read_json(payload("pullrequest.source", source), "pullrequest:rejected")
    branch = "gone" if source and source.get("branch") else ""
    assert event == PullRequestClosed(SITE, 7, PullRequestState.DECLINED, branch)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1970-01-01T00:00:02.500000+00:00", 2.5), ("1970-01-01T00:00:02", 0.0), ("soon", 0.0), (None, 0.0)],
)
def test_the_time_of_the_last_change_is_read_where_it_is_one(text: str | None, seconds: float) -> None:
    assert pull_request(payload("pullrequest.updated_on", text)).updated_at == seconds


def commented(state: str = "OPEN", **parts: Any) -> Event:
    said = {"id": 5, "content": {"raw": "probo rebuild"}, "user": {"uuid": "{writer}"}}
    return read_json({**payload("pullrequest.state", state), "comment": said, **parts}, "pullrequest:comment_created")


def test_a_comment_is_read_with_its_author_and_its_pull_request() -> None:
    assert commented() == Commented(SITE, 7, 5, "probo rebuild", "{writer}", pull_request(PAYLOAD))


def test_a_comment_on_a_closed_pull_request_comes_without_it() -> None:
    event = commented("MERGED")
    assert isinstance(event, Commented)
    assert event.pull_request is None


def test_the_author_of_a_comment_is_the_actor_where_it_names_none() -> None:
    event = commented(comment={"id": 5}, actor={"uuid": "{actor}"})
    assert isinstance(event, Commented)
    assert (event.text, event.author_id) == ("", "{actor}")


def push(*changes: Any) -> Event:
    return read_json({"repository": PAYLOAD["repository"], "push": {"changes": list(changes)}}, "repo:push")


def moved(name: str = "main", kind: str = "branch", message: str = "Change", **parts: Any) -> dict[str, Any]:
    return {"new": {"type": kind, "name": name, "target": {"hash": "ab" * 20, "message": message}}, **parts}


def test_every_branch_of_a_push_is_read() -> None:
    event = push(moved("main"), moved("next", commits=[{"message": "one"}, {"message": None}, {}]))
    first = BranchPushed("main", "ab" * 20, "Change")
    assert event == Pushed(SITE, (first, BranchPushed("next", "ab" * 20, "Change", ("one", "", ""))))


def test_where_a_branch_was_before_is_read() -> None:
    event = push(moved("main", old={"type": "branch", "name": "main", "target": {"hash": "cd" * 20}}))
    assert event == Pushed(SITE, (BranchPushed("main", "ab" * 20, "Change", previous="cd" * 20),))


def test_deletions_tags_and_changes_that_say_too_little_are_no_branches() -> None:
    none = [{"new": None, "old": {"name": "gone"}}, {}, {"new": {}}, {"new": {"name": "x"}}, moved(kind="tag")]
    assert push(*none) == Ignored("the push leaves no branch behind", SITE)
    assert push(*none, moved("main")) == Pushed(SITE, (BranchPushed("main", "ab" * 20, "Change"),))


@pytest.mark.parametrize("said", [{}, {"push": {}}, {"push": {"changes": None}}, {"push": {"changes": []}}])
def test_a_push_without_changes_is_ignored(said: Any) -> None:
    event = read_json({"repository": PAYLOAD["repository"], **said}, "repo:push")
    assert event == Ignored("the push changes nothing", SITE)


def test_a_push_to_a_repository_without_a_usable_name_is_ignored() -> None:
    event = read_json({"repository": {"full_name": "{{.owner}}/x"}, "push": {"changes": [moved()]}}, "repo:push")
    assert event == Ignored("the push does not say to which repository")


def test_what_is_no_commit_is_refused_by_its_path() -> None:
    body = {"repository": PAYLOAD["repository"], "push": {"changes": [moved()]}}
    body["push"]["changes"][0]["new"]["target"]["hash"] = "$(reboot)"
    assert refusal(body, "repo:push") == "`push.changes[].new.target.hash`: '$(reboot)' is not a commit hash"


def test_a_build_status_is_ignored_and_tells_nobody_anything() -> None:
    expected = Ignored("a build status brings no new commit", SITE, noise=True)
    assert read_json(PAYLOAD, "repo:commit_status_created") == expected


@pytest.mark.parametrize(
    ("event_key", "reason"),
    [
        ("pullrequest:approved", "an approval brings no new commit"),
        ("issue:created", "nothing is done on the event 'issue:created'"),
    ],
)
def test_every_other_event_is_ignored_with_the_reason(event_key: str, reason: str) -> None:
    assert read_json(PAYLOAD, event_key) == Ignored(reason, SITE)


@pytest.mark.parametrize("repository", [None, 5, [], {}, {"full_name": "{{.owner}}/{{.repo}}"}])
def test_an_ignored_event_need_not_name_its_repository(repository: Any) -> None:
    assert read_json({"repository": repository}, "no:such") == Ignored("nothing is done on the event 'no:such'")
    assert read_json({}, "no:such") == Ignored("nothing is done on the event 'no:such'")


@pytest.mark.parametrize("path", ["title", "description", "author", "links", "draft"])
def test_what_a_pull_request_can_do_without_may_be_absent_or_null(path: str) -> None:
    absent = pull_request(without(f"pullrequest.{path}"))
    assert absent == pull_request(payload(f"pullrequest.{path}", None))
    if path != "links":
        assert not getattr(absent, path)


def test_the_author_is_called_by_nickname_where_there_is_no_display_name() -> None:
    author = pull_request(payload("pullrequest.author", {"nickname": "dana"}))
    assert (author.author, author.author_id) == ("dana", "")
    assert pull_request(payload("pullrequest.author", {})).author == ""


@pytest.mark.parametrize("href", [None, "", "javascript:alert(1)", "/acme", "https://", "https://x/" + "y" * 5_000])
def test_the_address_is_built_where_the_payload_has_none_to_show(href: Any) -> None:
    changed = payload("pullrequest.links.html.href", href)
    assert pull_request(changed).url == "https://bitbucket.org/acme/site/pull-requests/7"
    event = read("pullrequest:created", json.dumps(changed).encode(), site_url="http://127.0.0.1:8080")
    assert isinstance(event, PullRequestChanged)
    assert event.pull_request.url == "http://127.0.0.1:8080/acme/site/pull-requests/7"


def test_texts_lose_their_nul_and_are_bounded() -> None:
    assert pull_request(payload("pullrequest.title", "a\0b" + "c" * 2_000)).title == "ab" + "c" * 998
    assert len(pull_request(payload("pullrequest.description", "d" * 40_000)).description) == 32_000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
EVENT_KEYS = st.sampled_from(
    [
        "pullrequest:created",
        "pullrequest:updated",
        "pullrequest:fulfilled",
        "pullrequest:comment_created",
        "repo:push",
        "x",
    ]
)


def paths(document: Any, above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(document, dict):
        return []
    return [path for name, value in document.items() for path in [(*above, name), *paths(value, (*above, name))]]


def texts(document: Any) -> list[str]:
    if isinstance(document, dict):
        return [text for value in document.values() for text in texts(value)]
    return [document] if isinstance(document, str) else []


def check_event_or_refusal(event_key: str, body: bytes) -> None:
    try:
        event = read(event_key, body)
    except PayloadError as refused:
        assert str(refused)
        return
    for text in texts(asdict(event)):
        text.encode()
        assert "\0" not in text
        assert len(text) <= 32_000


@given(EVENT_KEYS, JSON)
def test_any_json_gives_an_event_or_a_refusal(event_key: str, document: Any) -> None:
    check_event_or_refusal(event_key, json.dumps(document).encode())


@given(EVENT_KEYS, st.binary())
def test_any_bytes_give_an_event_or_a_refusal(event_key: str, body: bytes) -> None:
    check_event_or_refusal(event_key, body)


@given(EVENT_KEYS, st.sampled_from(paths(PAYLOAD)), JSON)
def test_any_value_anywhere_in_a_payload_gives_an_event_or_a_refusal(
    event_key: str, path: tuple[str, ...], value: Any
) -> None:
    check_event_or_refusal(event_key, json.dumps(payload(".".join(path), value)).encode())


@pytest.mark.parametrize("path", paths(PAYLOAD))
def test_a_payload_without_one_key_gives_an_event_or_a_refusal_that_names_it(path: tuple[str, ...]) -> None:
    dotted = ".".join(path)
    try:
        read_json(without(dotted))
    except PayloadError as refused:
        assert str(refused) == f"`{dotted}` is missing"


@pytest.mark.skipif(not RECORDED.is_dir(), reason="recorded payloads are not there")
def test_each_recorded_payload_gives_an_event() -> None:
    recorded = sorted(RECORDED.glob("*.json"))
    assert recorded
    for file in recorded:
        event_key = file.name.partition("__")[0].replace("_", ":", 1)
        event = read(event_key, file.read_bytes())
        expected = {
            "pullrequest:created": PullRequestChanged | PullRequestClosed | Ignored,
            "pullrequest:updated": PullRequestChanged | PullRequestClosed | Ignored,
            "pullrequest:fulfilled": PullRequestClosed,
            "pullrequest:rejected": PullRequestClosed,
            "pullrequest:comment_created": Commented,
            "repo:push": Pushed | Ignored,
        }
        assert isinstance(event, expected.get(event_key, Ignored)), file.name
