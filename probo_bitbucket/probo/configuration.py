"""What a `.probo.yaml` means: the document for the Container Manager, or advice to the author of the pull request."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from attrs import field, frozen

from probo_bitbucket.probo import js_yaml

# File names in the order of preference of the newest Node handler.
SPELLINGS = (
    ".probo.yaml",
    ".probo.yml",
    "probo.yaml",
    "probo.yml",
    ".proviso.yaml",
    ".proviso.yml",
    "proviso.yaml",
    "proviso.yml",
)

LARGEST_FILE = 128 * 1024  # bytes; reading so much takes a second or two
USUAL_SIZE = 8 * 1024  # bytes; up to here, what was read is remembered
LONGEST_ADVICE = 255  # characters of a build status' description on Bitbucket

# What the Container Manager reads; it ignores all others.
_KEYS = (
    "image",
    "assets",
    "steps",
    "allowAccessWhileBuilding",
    "basicAuth",
    "startupPause",
    "extraHosts",
    "cpuPeriod",
    "cpuQuota",
    "sites",
    "notifications",
    "insecureStashDownload",
)
_PLUGINS = ("Shell", "Script", "LAMPApp", "Drupal", "WordPressApp", "Backdrop", "Lighthouse", "DrushFetcher")
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


class ConfigurationError(Exception):
    """No build can be made of it. The advice tells the author what to do, in at most LONGEST_ADVICE characters."""

    def __init__(self, finding: str, action: str) -> None:
        room = LONGEST_ADVICE - len(action) - 2
        finding = "".join(character if character.isprintable() else "\ufffd" for character in finding)
        finding = finding if len(finding) <= room else f"{finding[: room - 1]}…"
        self.advice = f"{finding}. {action}"
        super().__init__(self.advice)


@frozen
class Configuration:
    """A configuration that the Container Manager takes; the warnings say what it will not do although it is written."""

    document: dict[str, Any] = field(repr=False)
    warnings: tuple[str, ...] = ()


def read(content: bytes, file_name: str) -> Configuration:
    """Read the content of *file_name*. Raises ConfigurationError.

    Nobody changes what is read: it may be shared with other builds.
    """
    return _read_once(content, file_name) if len(content) <= USUAL_SIZE else _read(content, file_name)


def _read(content: bytes, file_name: str) -> Configuration:
    text = _decode(content, file_name)
    try:
        document = js_yaml.load(text)
    except js_yaml.YamlError as error:
        place = f"{file_name} line {error.line}, column {error.column}"
        raise ConfigurationError(f"{place}: {error.problem}", "Mend the YAML and push again.") from error
    if not isinstance(document, dict):
        raise _not_a_mapping(document, text, file_name)
    _check_steps(document.get("steps"), file_name)
    return Configuration(document, tuple(_warnings(document)))


# From one commit to the next most configurations stay as they are, and to read one takes milliseconds.
_read_once = lru_cache(maxsize=64)(_read)


def steps_that_run(document: dict[str, Any]) -> int:
    """How many steps the Container Manager will tell of, those of the same plugin and name counted as one.

    It passes over a step whose plugin it does not know.
    """
    steps = document.get("steps")
    told = [step for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []
    named = [(step.get("plugin") or "Shell", step.get("name")) for step in told]
    return len({(plugin, str(name)) for plugin, name in named if plugin in _PLUGINS})


def missing(file_names: Iterable[str]) -> ConfigurationError:
    """Return the advice for a commit that has none of *file_names*."""
    first, *others = file_names
    finding = f"This commit has no {first}" + (f" (nor {', '.join(others)})" if others else "")
    return ConfigurationError(finding, f"Add a {first} with the steps of the build and push again.")


def _decode(content: bytes, file_name: str) -> str:
    if content.startswith(_LFS_POINTER):
        raise kept_elsewhere(file_name)
    if len(content) > LARGEST_FILE:
        raise ConfigurationError(f"{file_name} has more than {LARGEST_FILE} bytes", "Shorten it and push again.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(
            f"{file_name} line {line} is not UTF-8", "Save the file as UTF-8 and push again."
        ) from error


def _not_a_mapping(document: object, text: str, file_name: str) -> ConfigurationError:
    if document is None:
        return ConfigurationError(f"{file_name} is empty", "Write the steps of the build into it and push again.")
    # Bitbucket answers a symbolic link with the path it points to.
    if document == text and ("/" in text or "." in text) and not any(character.isspace() for character in text):
        return ConfigurationError(
            f"{file_name} seems to be a symbolic link to {text}", "Commit the file itself in its place and push again."
        )
    return ConfigurationError(
        f"{file_name} is {_kind(document)} where a mapping is needed",
        "Write `steps:` and below it a list of steps, and push again.",
    )


def _check_steps(steps: object, file_name: str) -> None:
    if steps is not None and not isinstance(steps, list | dict):
        raise ConfigurationError(f"`steps` in {file_name} is {_kind(steps)}", "Make it a list of steps and push again.")
    if isinstance(steps, list) and None in steps:
        raise ConfigurationError(
            f"Step {steps.index(None) + 1} in {file_name} is empty", "Complete or remove it and push again."
        )


def _warnings(document: dict[str, Any]) -> Iterator[str]:
    for key in document:
        meant = _differs_in_case(key, _KEYS)
        if meant:
            yield f"`{key}` is ignored: write `{meant}`."
    steps = document.get("steps")
    if not steps:
        yield "There are no steps: nothing will run."
    elif isinstance(steps, dict):
        yield "`steps` is a mapping, of which nothing will run: make it a list."
    else:
        for number, step in enumerate(steps, 1):
            yield from _warnings_of_step(number, step)


def _warnings_of_step(number: int, step: object) -> Iterator[str]:
    if not isinstance(step, dict):
        yield f"Step {number} is {_kind(step)}, of which nothing will run: make it a mapping with a `command`."
        return
    plugin = step.get("plugin")
    if plugin is None or plugin in _PLUGINS:
        return
    name = str(plugin)[:40]
    meant = _differs_in_case(name, _PLUGINS) or next(iter(difflib.get_close_matches(name, _PLUGINS)), "")
    hint = f" Did you mean {meant}?" if meant else ""
    yield f"Step {number} may not run: the plugin {name!r} is not known.{hint}"


def _differs_in_case(name: str, known: tuple[str, ...]) -> str:
    if name in known:
        return ""
    return next((candidate for candidate in known if candidate.lower() == name.lower()), "")


def _kind(value: object) -> str:
    match value:
        case list():
            return "a list"
        case dict():
            return "a mapping"
        case str():
            return "a text"
        case bool():
            return "true or false"
        case None:
            return "empty"
        case _:
            return "a number"


def kept_elsewhere(file_name: str) -> ConfigurationError:
    """The error for a file that Git LFS keeps outside of the repository."""
    return ConfigurationError(
        f"{file_name} is in Git LFS, only a pointer to it can be read", "Commit the file itself and push again."
    )
