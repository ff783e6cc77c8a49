"""Settings in Markdown: each key under a heading of its own, so that a link can lead to it."""

from __future__ import annotations

from collections.abc import Iterator

from probo_bitbucket.config import KEYS, Key
from probo_bitbucket.config.types import ACCOUNTS


def keys() -> str:
    """Every key, in the order of the example file."""
    return "\n".join(_entry(key) for key in KEYS)


def _entry(key: Key) -> str:
    facts = "".join(f"- {fact}\n" for fact in _facts(key))
    return f"### {key.name}\n\n{_shown(key.help)}\n\n{facts}"


def _facts(key: Key) -> Iterator[str]:
    yield f"Expects {_shown(key.expects)}."
    if key.required:
        yield "Required."
    if key.default:
        yield f"Default: `{key.default}`"
    if key.option:
        yield f"Option: `{key.option}`"
    if key.type is not ACCOUNTS:
        yield f"Environment: {', '.join(f'`{form.variable}`' for form in key.forms)}"
    if key.secret:
        yield f"`{key.forms[1].name}` names a file that has it."


def _shown(text: str) -> str:
    """*Text* with nothing in it that Markdown could take for HTML or for a mark."""
    return text.replace("<", "&lt;").replace("*", "\\*")
