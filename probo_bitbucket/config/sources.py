"""Where settings are given: files, the environment, options. Later ones win, key by key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from probo_bitbucket.config.files import read_settings_file, settings_files
from probo_bitbucket.config.keys import BY_NAME, ENVIRONMENT, FOREIGN, KEYS, SECTIONS, Form, Key
from probo_bitbucket.config.written import Findings, Given, Shape, Written

_SHORTHANDS = {"logFile": "logFile.enabled"}  # `logFile: true`


def gather(
    files: Sequence[Path], environ: Mapping[str, str], options: Mapping[str, object], findings: Findings
) -> dict[str, Given]:
    """What was given for each key, by its name. KeyError where an option is no key."""
    given: dict[str, Given] = {}
    for path in settings_files(files, findings):
        root = read_settings_file(path, findings)
        if root is not None:
            given = _overlay(given, root, findings)
    return given | _from_environment(environ, findings) | _from_options(options)


def assign(
    entries: Iterable[tuple[str, Written]], keys: Iterable[Key], prefix: str, findings: Findings
) -> dict[str, Given]:
    """Assign the entries of a mapping to the keys that can stand in it; *prefix* is the path of the mapping."""
    forms = {form.leaf: form for key in keys for form in key.forms}
    given: dict[str, Given] = {}
    for name, written in entries:
        if name in forms:
            _give(given, forms[name], Given(written, prefix + name, forms[name].in_file), findings)
        else:
            # What is behind a colon would be a value: `{bbClientSecret:…}` lacks a blank.
            label = repr(prefix + name.partition(":")[0][:80])[1:-1]
            findings.problems.append(f"{written.place}: {label}: unknown key; {_suggestion(name, forms)}")
    return given


def _overlay(given: Mapping[str, Given], root: Written, findings: Findings) -> dict[str, Given]:
    """A key of a later file replaces the earlier value, the whole mapping too, as in the Node handlers."""
    sections = {name: written for name, written in root.entries if name in SECTIONS}
    kept = {name: value for name, value in given.items() if BY_NAME[name].section not in sections}
    plain = [(name, written) for name, written in root.entries if name not in SECTIONS and name not in FOREIGN]
    kept |= assign(plain, (key for key in KEYS if not key.section), "", findings)
    for name, written in sections.items():
        kept |= _section(name, written, findings)
    for name, written in root.entries:
        if name in FOREIGN:
            findings.warnings.append(f"{written.place}: {name}: is for {FOREIGN[name]} and does nothing here")
    return kept


def _section(name: str, written: Written, findings: Findings) -> dict[str, Given]:
    if written.empty:
        return {}
    if written.shape is Shape.MAPPING:
        return assign(written.entries, (key for key in KEYS if key.section == name), f"{name}.", findings)
    if name in _SHORTHANDS:
        return {_SHORTHANDS[name]: Given(written, name)}
    findings.problems.append(f"{written.place}: {name}: {written.shape.value} came; a mapping is expected")
    return {}


def _from_environment(environ: Mapping[str, str], findings: Findings) -> dict[str, Given]:
    forms = {form.variable: form for key in KEYS for form in key.forms}
    given: dict[str, Given] = {}
    for name in sorted(name for name in environ if name.startswith(ENVIRONMENT)):
        if name in forms:
            written = _in_environment(name, forms[name].key, environ[name])
            _give(given, forms[name], Given(written, in_file=forms[name].in_file), findings)
        else:
            findings.problems.append(f"{name}: unknown variable; {_suggestion(name, forms)}")
    return given


def _in_environment(name: str, key: Key, text: str) -> Written:
    """Several values stand side by side, with blanks between them. Secrets may have blanks in them."""
    parts = text.split() if key.many and not key.secret else []
    if len(parts) < 2:
        return Written(name, Shape.TEXT, text)
    return Written(name, Shape.LIST, items=tuple(Written(name, Shape.TEXT, part) for part in parts))


def _from_options(options: Mapping[str, object]) -> dict[str, Given]:
    given = {name: value for name, value in options.items() if value is not None}
    return {name: Given(_option(BY_NAME[name], value)) for name, value in given.items()}


def _option(key: Key, value: object) -> Written:
    place = key.option or f"--{key.name}"
    if isinstance(value, list | tuple):
        return Written(place, Shape.LIST, items=tuple(Written(place, Shape.TEXT, str(item)) for item in value))
    return Written(place, Shape.TEXT, str(value))


def _give(given: dict[str, Given], form: Form, value: Given, findings: Findings) -> None:
    other = given.get(form.key.name)
    if other is None or other.written.empty:
        given[form.key.name] = value
    elif not value.written.empty:
        findings.problems.append(f"{value.where()}: stands beside {other.where()}; give one of the two")


def _suggestion(name: str, known: Iterable[str]) -> str:
    # The prefix that all variables share would make them all look alike.
    shorts = {candidate.removeprefix(ENVIRONMENT): candidate for candidate in known}
    found = get_close_matches(name.removeprefix(ENVIRONMENT), shorts, n=1)
    return f"did you mean {shorts[found[0]]}?" if found else "correct its spelling, or remove it"
