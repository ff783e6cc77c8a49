"""The list of the log's events is complete, and true of the code."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import yaml

import probo_bitbucket
from probo_bitbucket.log_events import EVENTS
from probo_bitbucket.logs import FIELDS

PACKAGE = Path(probo_bitbucket.__file__).parent
ALERTS = PACKAGE.parent / "docs" / "prometheus" / "alerts.yaml"
LISTED = {event.name: event for event in EVENTS}
OF_TWISTED = {"twisted", "twisted.failed"}
NAME = re.compile(r"[a-z]+\.[a-z_]+")
METHODS = {"debug", "info", "warn", "error", "critical", "failure", "emit"}
LOGS = re.compile(r"(self\.)?_?log\.\w+|self\._log\w*")


def calls() -> Iterator[tuple[Path, ast.Call]]:
    for path in PACKAGE.rglob("*.py"):
        if "sandbox" not in path.parts:
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    yield path, node


def is_log_call(call: ast.Call) -> bool:
    """`self.log.info(…)`, `_log.warn(…)`, or a method of ours that logs: `self._log(…)`, `self._log_trouble(…)`."""
    return LOGS.fullmatch(ast.unparse(call.func)) is not None


def direct_calls() -> Iterator[tuple[Path, ast.Call]]:
    """Calls of a Logger's own methods."""
    for path, call in calls():
        if is_log_call(call) and method_of(call) in METHODS:
            yield path, call


def literals(node: ast.AST) -> Iterator[str]:
    """The names of events in an expression; of an f-string, a pattern."""
    for part in ast.walk(node):
        if isinstance(part, ast.JoinedStr):
            yield "".join(str(v.value) if isinstance(v, ast.Constant) else "*" for v in part.values)
        elif isinstance(part, ast.Constant) and isinstance(part.value, str) and NAME.fullmatch(part.value):
            yield part.value


def method_of(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


def levels(path: Path, call: ast.Call) -> set[str]:
    """The levels that a call can log at; one of a method of ours, those of the calls in it."""
    method = method_of(call)
    if method == "emit":
        return set(re.findall(r"LogLevel\.(\w+)", ast.unparse(call.args[0])))
    if method in METHODS:
        return {"critical" if method == "failure" else method}
    return set().union(*(levels(path, inner) for inner in calls_in_method(path, method) if is_log_call(inner)))


def calls_in_method(path: Path, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            yield from (inner for inner in ast.walk(node) if isinstance(inner, ast.Call))


def used() -> Iterator[tuple[str, set[str]]]:
    """The names of all events, and the levels that they are logged at."""
    for path, call in calls():
        if is_log_call(call):
            named = [keyword.value for keyword in call.keywords if keyword.arg == "event"]
            for argument in named or call.args:
                for name in literals(argument):
                    yield name, levels(path, call)


def matches(used_name: str, name: str) -> bool:
    return re.fullmatch(used_name.replace(".", r"\.").replace("*", r"\w+"), name) is not None


def test_every_event_in_the_code_is_listed() -> None:
    names = {name for name, _ in used()}
    assert len(names) > 30
    assert [name for name in names if not any(matches(name, listed) for listed in LISTED)] == []


def test_every_event_that_is_listed_is_in_the_code() -> None:
    names = {name for name, _ in used()}
    assert [listed for listed in LISTED.keys() - OF_TWISTED if not any(matches(name, listed) for name in names)] == []


def test_no_event_is_listed_twice() -> None:
    assert len(LISTED) == len(EVENTS)


def test_the_level_that_is_listed_is_that_of_the_code() -> None:
    found: dict[str, set[str]] = defaultdict(set)
    for name, possible in used():
        if "*" not in name:
            found[name] |= possible
    assert {name: LISTED[name].level for name in found if LISTED[name].level not in found[name]} == {}


def test_every_event_that_is_grave_says_what_to_do() -> None:
    assert [event.name for event in EVENTS if event.level in ("error", "critical") and not event.alert] == [
        "daemon.overdue"
    ]


def test_the_alert_for_what_was_given_up_on_names_all_of_it() -> None:
    steps = [call for path in PACKAGE.rglob("flow/**/*.py") for call in calls_in_method(path, "give_up")]
    given_up = {name for call in steps if is_log_call(call) for name in literals(call)}
    assert len(given_up) > 5
    rules = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
    [told] = [rule["expr"] for rule in rules if rule["alert"] == "ProboBitbucketGivenUp"]
    [names] = re.findall(r'event=~"([^"]*)"', told)
    # A build is given up on together with others that are none; a repository is looked at again by itself.
    assert set(names.split("|")) == given_up - {"reconciliation.failed"} | {"build.failed"}


def test_every_log_call_has_an_event_name() -> None:
    named = {(path, call.lineno): [keyword.arg for keyword in call.keywords] for path, call in direct_calls()}
    assert len(named) > 30
    assert [f"{path.name}:{line}" for (path, line), words in named.items() if "event" not in words] == []


def sets_of_fields() -> Iterator[tuple[Path, ast.AST]]:
    """The functions whose dictionaries are fields of an event: `**_fields(…)`, `**log_fields.of_build(…)`."""
    for path in PACKAGE.rglob("flow/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and (node.name == "_fields" or path.name == "log_fields.py"):
                yield path, node


def test_every_field_of_a_set_that_is_logged_is_shown() -> None:
    keys = [
        (path.name, ast.literal_eval(key))
        for path, function in sets_of_fields()
        for node in ast.walk(function)
        if isinstance(node, ast.Dict)
        for key in node.keys
        if key is not None
    ]
    assert len(keys) > 30
    assert [(path, key) for path, key in keys if key not in FIELDS] == []


def test_every_field_that_is_logged_is_shown() -> None:
    unseen = []
    for path, call in direct_calls():
        words = set(re.findall(r"\{(\w+)", " ".join(ast.unparse(argument) for argument in call.args)))
        shown = {"event", *FIELDS, *words}
        unseen += [
            f"{path.name}:{call.lineno} {word.arg}" for word in call.keywords if word.arg and word.arg not in shown
        ]
    assert unseen == []
