"""Bitbucket's rules for build statuses: their keys, states and limits.

Lengths are counted in UTF-16 units: whoever counts characters otherwise finds fewer, so what fits here fits anywhere.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from attrs import evolve

from probo_bitbucket.bitbucket import links
from probo_bitbucket.model import Phase, Repository, Status, StatusState

KEY_LIMIT = 40
NAME_LIMIT = 255
DESCRIPTION_LIMIT = 255
URL_LIMIT = 450

_HASH_DIGITS = 8
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_ICON = re.compile(r"\A\[[⌛▶■]\] ?")

_STATES = {
    Phase.PENDING: StatusState.INPROGRESS,
    Phase.RUNNING: StatusState.INPROGRESS,
    Phase.SUCCEEDED: StatusState.SUCCESSFUL,
    Phase.FAILED: StatusState.FAILED,
    Phase.STOPPED: StatusState.STOPPED,
}


def key(context: str) -> str:
    """Return the key of *context*: the context itself where Bitbucket takes it, or else its head and a hash.

    Merge checks count every key, so the key of a context must never change: neither must this rule.
    """
    if _width(context) <= KEY_LIMIT and not _UNPRINTABLE.search(context):
        return context
    digest = hashlib.sha256(context.encode(errors="surrogatepass")).hexdigest()[:_HASH_DIGITS]
    return f"{_head(_one_line(context), KEY_LIMIT - 1 - _HASH_DIGITS)}~{digest}"


def state(phase: Phase, final: bool) -> StatusState:
    """Return Bitbucket's word for *phase*. A success after which more follows is no success yet."""
    if phase is Phase.SUCCEEDED and not final:
        return StatusState.INPROGRESS
    return _STATES[phase]


def compose(
    repository: Repository,
    commit: str,
    *,
    context: str,
    phase: Phase,
    final: bool,
    description: str,
    urls: Sequence[str],
    refname: str,
    site_url: str = links.SITE_URL,
) -> Status:
    """Return the status of *context*, within Bitbucket's limits.

    It links to the first of *urls* that Bitbucket takes, or to the commit's page where it takes none.
    """
    return Status(
        repository=repository,
        commit=commit,
        key=key(context),
        state=state(phase, final),
        name=_shorten(_one_line(context), NAME_LIMIT),
        description=_shorten(_one_line(description), DESCRIPTION_LIMIT),
        url=_first_usable(urls) or links.commit(repository, commit, site_url),
        refname=refname,
    )


def within_limits(status: Status) -> Status:
    """Return *status* with its texts cut to what Bitbucket takes."""
    name, description = _one_line(status.name), _one_line(status.description)
    return evolve(status, name=_shorten(name, NAME_LIMIT), description=_shorten(description, DESCRIPTION_LIMIT))


def without_icon(description: str) -> str:
    """Return *description* without the icon that the Container Manager puts before it."""
    return _ICON.sub("", description, count=1)


def same_to_a_reader(a: Status, b: Status) -> bool:
    """Tell whether *b* changes nothing but the Container Manager's icon of *a* while both are in progress."""
    return a.state is StatusState.INPROGRESS and _without_icon(a) == _without_icon(b)


def _without_icon(status: Status) -> Status:
    return evolve(status, description=without_icon(status.description))


def _first_usable(urls: Sequence[str]) -> str:
    """Return the first of *urls* that Bitbucket takes, empty if there is none."""
    encoded = (url.replace("{", "%7B").replace("}", "%7D") for url in urls)  # Bitbucket expands braces as a template
    return next((url for url in encoded if _width(url) <= URL_LIMIT and links.is_web_address(url)), "")


def _width(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _head(text: str, limit: int) -> str:
    """Return as many whole characters of *text* as fit into *limit* UTF-16 units."""
    return text.encode("utf-16-le")[: 2 * limit].decode("utf-16-le", "ignore")


def _shorten(text: str, limit: int) -> str:
    return text if _width(text) <= limit else _head(text, limit - 1) + "…"


def _one_line(text: str) -> str:
    return " ".join(_UNPRINTABLE.sub(" ", text).split())
