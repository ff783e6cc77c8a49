"""The watch: hears every canary that sings where it does not belong, while any test runs.

It listens to the log at its finest level in every form, to all that the simulators are asked and all that the handler
answers, and to what processes say that a test reads. It looks into the logs and the databases that a test made before
they are gone. What is read from a terminal it has to be told (`typed`).
"""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from attrs import define, field, frozen
from twisted.logger import LogEvent, globalLogPublisher

from probo_bitbucket import logs
from probo_bitbucket.log_output import FORMS
from probo_bitbucket.sandbox import server
from probo_bitbucket.web.channel import BoundedChannel
from tests.canaries import hidden, secretive, shown, songs, unmarked


@frozen
class Place:
    """A place where secrets belong: what matches *secret* in what matches *where*."""

    where: re.Pattern[str]
    secret: re.Pattern[str]


def _place(where: str, secret: str) -> Place:
    return Place(re.compile(where), re.compile(secret, re.DOTALL))


NO_TOKEN = "Bearer undefined"  # what the Container Manager says where it has none

ASKED = (
    # A coordinator, which alone wants to know who asks for a build, has given the tokens itself.
    _place(r"\APOST \S*/startbuild\?(?s:.*?)\nauthorization: ", r'"service_auth": ?\{[^}]*\}'),
    _place("", r"(?m)^authorization: .*?$"),
    _place(r"\APOST \S*/site/oauth2/access_token\?", r"\n\n.*"),
    _place(r"\A(GET|POST) \S*/site/oauth2/authorize\?", r"\bstate=[\w-]+"),
    _place("", r"(?m)^referer: \S*/site/oauth2/authorize\?\S*$"),  # Bitbucket's page asks for what it shows
    _place(r"\A(POST|PUT) \S*/2\.0/\S+/hooks", r'"secret": ?"[^"]*"'),
    _place(r"\APOST \S*/webhooks(/[\w-]+)?\?", r"\bsecret=[^&]*"),  # of the pages of a simulated Bitbucket
    # What is of another provider goes on to its handler as it came.
    _place(r"\APOST \S*/github/", r'"service_auth": ?\{[^}]*\}'),
    _place(r"\APOST \S*/projects/tokens\?", r"(?m)^(token|refreshtoken|previousrefreshtoken): .*?$"),
)
ANSWERED = (
    _place(r"\A\S*/auth_lookup\n", r'"access_token": ?"[^"]*"'),
    _place(r"\A/setup\n", r"(?mi)^set-cookie: probo_bitbucket_setup=.*?$"),
    _place(r"\A/setup\n", r"/site/oauth2/authorize\?[^\s\"]*?\bstate=[\w-]+"),
    _place(r"\A/setup\S*\n", r'name="csrf" value="[\w-]+"'),
    _place("", r'<input type="hidden" name="token" value="\w+">'),  # of our own pages' forms
    _place(r"\A/setup/callback\n", r"bb(Refresh|Access)Token: &#39;[^&]+&#39;"),  # which the operator is to copy, once
)


LOGGED = (_place("", r"/setup\?code=[\w-]+(?= with a browser)"),)  # for whoever can read the log
# The set-up by a person at a terminal, who copies addresses there and back, and lines for the settings.
_WAY_TO_BITBUCKET = _place(r"Open this address in a browser on any machine", r"/site/oauth2/authorize\?\S*")
SAID = (*LOGGED, _WAY_TO_BITBUCKET)
TYPED = (
    _WAY_TO_BITBUCKET,
    _place(r"Secret \(is not shown\): ", r"Address: \S*/setup/callback\?\S*"),
    _place(r"Secret \(is not shown\): ", r"bb(Refresh|Access)Token: '[^']+'"),
)


@frozen
class Heard:
    """A song, and where it was heard: `log`, `store`, `said`, `typed`, `asked …` or `answered …`."""

    place: str
    song: str

    def __str__(self) -> str:
        return f"{self.place}: …{self.song}…"


@define(eq=False)
class Watch:
    """What was heard since it was begun."""

    heard: list[Heard] = field(factory=list)
    silent: set[str] = field(factory=set)  # secrets that have no mark, so that nobody would hear them
    _folders: set[Path] = field(factory=set)
    _answers: defaultdict[tuple[int, str], bytearray] = field(factory=lambda: defaultdict(bytearray))
    _observers: tuple[Callable[[LogEvent], None], ...] = ()

    def begin(self) -> None:
        self.heard.clear()
        self.silent.clear()
        self._folders.clear()
        self._answers.clear()
        self._observers = tuple(logs.LineObserver(self._logged, "trace", form) for form in FORMS.values())
        for observer in self._observers:
            globalLogPublisher.addObserver(observer)  # type: ignore[arg-type]

    def end(self) -> list[Heard]:
        """All that was heard, also in the logs and databases of the folders that are still there."""
        for observer in self._observers:
            globalLogPublisher.removeObserver(observer)  # type: ignore[arg-type]
        for folder in self._folders:
            self.search(folder)
        for (_, path), answer in self._answers.items():
            whole = without(ANSWERED, f"{path}\n{answer.decode('latin-1')}")
            self._hear(f"answered {path}", whole.partition("\n")[2])
        return self.heard

    def keeps(self, secrets: Iterable[str]) -> None:
        """Something has *secrets*."""
        self.silent.update(unmarked(secrets))

    def made(self, folder: Path) -> None:
        """*folder* is a test's, and is searched before it is removed."""
        self._folders.add(folder)

    def removed(self, folder: Path) -> None:
        if folder in self._folders:
            self._folders.remove(folder)
            self.search(folder)

    def asked(self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> None:
        """A simulator got a request; the names of the *headers* are in lower case."""
        head = (f"{method} {path}?{query}", *(f"{name}: {value}" for name, value in headers.items()))
        text = "\n".join((*head, "", body.decode("utf-8", "replace")))
        if headers.get("authorization") != NO_TOKEN:
            self.keeps([headers.get("authorization", "")])
        self._hear(f"asked {method} {path}", without(ASKED, text))

    def answered(self, connection: int, path: str, part: bytes) -> None:
        """The handler wrote a part of an answer."""
        self._answers[connection, path] += part

    def said(self, text: str) -> None:
        """A process said *text* on its standard output or error."""
        self._hear("said", without(SAID, text))

    def typed(self, text: str) -> None:
        """A terminal shows *text*."""
        self._hear("typed", without(TYPED, text))

    def search(self, folder: Path) -> None:
        """Look into the logs and the SQLite files in *folder*."""
        for path in folder.rglob("*"):
            with suppress(OSError):
                if not path.is_file():
                    continue
                if ".log" in path.name:
                    self._hear(f"log {path.name}", without(LOGGED, path.read_text(errors="replace")))
                elif _is_sqlite(path):
                    self.stored(sqlite_rows(path))

    def search_postgresql(self, url: str) -> None:
        """Look into a database."""
        self.stored(postgresql_rows(url))

    def stored(self, rows: Iterable[str]) -> None:
        for row in rows:
            self._hear("store", row)

    def _logged(self, line: bytes) -> None:
        self._hear("log", without(LOGGED, line.decode()))

    def _hear(self, place: str, text: str) -> None:
        self.heard += (Heard(place, song) for song in songs(text))


def without(places: Iterable[Place], text: str) -> str:
    """*text* without the secrets that belong there."""
    for place in places:
        if place.where.search(text):
            text = place.secret.sub("", text)
    return text


def sqlite_rows(path: Path) -> Iterator[str]:
    """Every row of a database as text, without what secrets belong in. None of one that cannot be read."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=0.1)) as database:
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            rows = database.execute(f'SELECT * FROM "{table}"')  # noqa: S608
            columns = [each[0] for each in rows.description]
            for row in rows:
                yield shown(table, columns, row)


def postgresql_rows(url: str) -> Iterator[str]:
    with suppress(psycopg.Error), psycopg.connect(url, connect_timeout=2) as database:
        for (table,) in database.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall():
            rows = database.execute(f'SELECT * FROM "{table}"'.encode())  # noqa: S608
            columns = [each.name for each in rows.description or ()]
            for row in rows:
                yield shown(table, columns, row)


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(15) == b"SQLite format 3"


watch = Watch()


def listen_in() -> None:
    """Have *watch* hear of every request to a simulator, every answer of a handler, and every folder of a test."""
    _hear_requests()
    _hear_answers()
    _hear_processes()
    _see_folders()
    _see_secrets()


def _hear_requests() -> None:
    record = server._record

    def heard(request: Any, now: float) -> server.Recorded:
        recorded = record(request, now)
        watch.asked(recorded.method, recorded.path, recorded.query, recorded.headers, recorded.body)
        return recorded

    server._record = heard


def _hear_answers() -> None:
    made, numbers = BoundedChannel.connectionMade, count()

    def connection_made(channel: BoundedChannel) -> None:
        made(channel)
        write, number = channel.transport.write, next(numbers)

        def heard(data: bytes) -> None:
            path = channel.requests[0].uri.partition(b"?")[0].decode("latin-1") if channel.requests else ""
            watch.answered(number, path, data)
            write(data)

        channel.transport.write = heard
        channel.transport.writeSequence = lambda parts: heard(b"".join(parts))

    BoundedChannel.connectionMade = connection_made  # type: ignore[method-assign, assignment]


class _Overheard:
    """What a process says, as it is read."""

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipe, name)

    def __iter__(self) -> Iterator[Any]:
        for line in self._pipe:
            self._hear(line)
            yield line

    def readline(self) -> Any:
        return self._hear(self._pipe.readline())

    def read(self, *size: int) -> Any:
        return self._hear(self._pipe.read(*size))

    def _hear(self, part: Any) -> Any:
        watch.said(part if isinstance(part, str) else part.decode(errors="replace"))
        return part


def _hear_processes() -> None:
    begin, communicate = subprocess.Popen.__init__, subprocess.Popen.communicate

    def begin_heard(process: Any, *arguments: Any, **named: Any) -> None:
        begin(process, *arguments, **named)
        process.stdout = process.stdout and _Overheard(process.stdout)

    def heard(process: Any, *arguments: Any, **named: Any) -> Any:
        said = communicate(process, *arguments, **named)
        for part in filter(None, said):
            watch.said(part if isinstance(part, str) else part.decode(errors="replace"))
        return said

    subprocess.Popen.__init__ = begin_heard  # type: ignore[method-assign, assignment]
    subprocess.Popen.communicate = heard  # type: ignore[method-assign, assignment]


def _see_folders() -> None:
    make, remove = tempfile.mkdtemp, shutil.rmtree

    def mkdtemp(*arguments: Any, **named: Any) -> Any:
        folder = make(*arguments, **named)
        watch.made(Path(folder))
        return folder

    def rmtree(path: Any, *arguments: Any, **named: Any) -> Any:
        with suppress(TypeError):  # a file descriptor, or bytes
            watch.removed(Path(path))
        return remove(path, *arguments, **named)

    tempfile.mkdtemp = mkdtemp
    shutil.rmtree = rmtree  # type: ignore[assignment]


def _see_secrets() -> None:
    for kind in secretive():
        _see_secrets_of(kind)


def _see_secrets_of(kind: type[Any]) -> None:
    begin = kind.__init__

    def begin_seen(thing: Any, *arguments: Any, **named: Any) -> None:
        begin(thing, *arguments, **named)
        watch.keeps(hidden(thing))

    kind.__init__ = begin_seen
