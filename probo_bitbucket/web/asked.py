"""What a list is asked for: the filter, the search and the place that stand in the address, of pages and API alike."""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen
from twisted.web.http import Request

from probo_bitbucket.bodies import BodyError, clean
from probo_bitbucket.store.views.filters import Filter
from probo_bitbucket.web.forms import number, query

_LIMIT = 300  # characters of a field that are read


@frozen
class Asked:
    """The fields as they were entered, and the filter that they make."""

    fields: dict[str, str]
    filter: Filter

    @property
    def after(self) -> str:
        return self.fields.get("after", "")

    @property
    def words(self) -> str:
        return self.fields.get("q", "")

    @property
    def restricted(self) -> bool:
        """Whether anything is left out of the list."""
        return self.filter.restricts


def asked(request: Request, states: type[StrEnum] | None = None) -> Asked:
    """Read the address of a list whose rows have one of *states*. Raises BodyError."""
    fields = {name: clean(value, _LIMIT).strip() for name, value in query(request).items()}
    state = fields.get("state", "")
    if state and (states is None or state not in {each.value for each in states}):
        raise BodyError(f"there is no state {state[:40]!r} here")
    given = Filter(
        state=state,
        repository=fields.get("repository", ""),
        pull_request=number(fields["pull_request"], "`pull_request`") if fields.get("pull_request") else None,
        failed=_ticked(fields, "failed"),
        noise=_ticked(fields, "all"),
    )
    return Asked(fields, given.search(fields.get("q", "")))


def _ticked(fields: dict[str, str], name: str) -> bool:
    return fields.get(name, "") not in ("", "0", "false")
