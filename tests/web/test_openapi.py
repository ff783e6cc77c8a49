"""The description of the routes is true, and no request that it allows or nearly allows does harm."""

from __future__ import annotations

import json
import os
import re
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.threads import deferToThread
from twisted.logger import LogLevel, capturedLogs

from probo_bitbucket import config
from probo_bitbucket.bitbucket.signature import sign
from probo_bitbucket.sandbox.stage import HOOK_SECRET
from tests.staged import StageTestCase

DESCRIPTION = yaml.safe_load((Path(__file__).parent.parent.parent / "docs" / "openapi.yaml").read_text())
EXAMPLES = int(os.environ.get("FUZZ", "300"))  # `make fuzz` sends 20,000

WORDS = st.sampled_from(
    ["acme", "site", "1", "0123456789ab", "main", "bitbucket", "..", "%2e", "a/b", "\0", "ä", "\u202e"]
)
TEXTS = WORDS | st.text(max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def test_the_webhook_cannot_have_the_path_of_another_route() -> None:
    paths = [re.sub(r"{[^}]*}", "x", path) for path in DESCRIPTION["paths"]]
    given = {"PROBO_BITBUCKET_API_URL": "http://cm:3020"}
    taken = []
    for path in (*paths, "/t/x", "/t/x/bitbucket-webhook", "/hook/x", "/", "/setup2"):
        try:
            config.load([], {**given, "PROBO_BITBUCKET_BB_WEBHOOK_URL": path}, {})
        except config.SettingsError as error:
            assert "is none of our other routes" in str(error)
            taken.append(path)
    assert taken == [
        *(path for path in paths if path not in ("/", "/bitbucket-webhook")),
        "/t/x",
        "/t/x/bitbucket-webhook",
    ]


def resolved(part: Any) -> Any:
    """*part*, or what it refers to."""
    if "$ref" not in part:
        return part
    _, section, kind, name = part["$ref"].split("/")
    return DESCRIPTION[section][kind][name]


OPERATIONS = [
    (method.upper(), path, operation)
    for path, item in DESCRIPTION["paths"].items()
    for method, operation in item.items()
    if isinstance(operation, dict)
]


def fitting(schema: Any) -> st.SearchStrategy[Any]:
    """Values that fit *schema*, mostly."""
    schema = resolved(schema)
    if "enum" in schema:
        return st.sampled_from(schema["enum"]) | JSON
    if schema["type"] == "object":
        parts = {name: fitting(part) for name, part in schema.get("properties", {}).items()}
        return st.fixed_dictionaries({}, optional=parts) | JSON
    return st.integers() if schema["type"] == "integer" else TEXTS | JSON


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, dict[str, str], bytes]:
    """Method, target, headers and body of a request to one of the routes."""
    method, target, operation = draw(st.sampled_from(OPERATIONS))
    query, headers = {}, {}
    for parameter in map(resolved, operation.get("parameters", ())):
        value, name = str(draw(fitting(parameter["schema"]))), parameter["name"]
        if parameter["in"] == "path":
            target = target.replace(f"{{{name}}}", quote(value, safe="", errors="surrogatepass"))
        elif parameter["in"] == "query" and draw(st.booleans()):
            query[name] = value
        elif parameter["in"] == "header":
            headers[name] = draw(st.sampled_from(["pullrequest:created", "repo:push", "1"]))
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    body = json.dumps(draw(fitting(content["schema"]))).encode() if content else b""
    if draw(st.booleans()):
        headers["X-Hub-Signature"] = sign(HOOK_SECRET, body)
    return draw(st.sampled_from([method, method, method, "PUT"])), f"{target}?{urlencode(query)}", headers, body


class Described(StageTestCase):
    timeout = 3600

    def test_every_route_is_described_and_nothing_else(self) -> None:
        rooms = self.handler._parts.doors[0].site.resource.rooms
        maps = [room._app.url_map for room in (rooms.webhook, rooms.internal)]
        routes = {
            (method, re.sub(r"<(\w+)>", r"{\1}", rule.rule))
            for rules in maps
            for rule in rules.iter_rules()
            for method in rule.methods - {"HEAD", "OPTIONS"}
        }
        self.assertEqual({(method, path) for method, path, _ in OPERATIONS}, routes)

    async def test_no_request_is_answered_with_an_error_of_ours(self) -> None:
        with capturedLogs() as events:
            await deferToThread(self.fuzz)
        self.assertEqual([event for event in events if event["log_level"] >= LogLevel.error], [])

    def fuzz(self) -> None:
        connection = HTTPConnection("127.0.0.1", self.handler.port, timeout=30)

        @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(requests())
        def check(request: tuple[str, str, dict[str, str], bytes]) -> None:
            method, target, headers, body = request
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            if answer.getheader("content-type") == "text/event-stream":
                connection.close()  # it would not end
            else:
                answer.read()
            assert answer.status < 500, (answer.status, request)

        try:
            check()
        finally:
            connection.close()
