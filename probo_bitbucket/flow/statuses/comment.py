"""Comment: what our one comment on a pull request says: the environment, the commit, and how far each step is.

Every text that somebody else wrote stands in a code span on a line of its own item, so that it stays text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote

from probo_bitbucket.bitbucket import statuses as rules
from probo_bitbucket.flow.statuses.display import Display
from probo_bitbucket.flow.statuses.progress import Progress, is_newer, runs
from probo_bitbucket.flow.statuses.summary import describe
from probo_bitbucket.model import SHORT_HASH, Comment, StatusState
from probo_bitbucket.store import Transaction, comments
from probo_bitbucket.store.builds import StoredBuild
from probo_bitbucket.store.comments import CommentWish, StoredComment
from probo_bitbucket.store.statuses import StoredStatus

PILE = 15.0  # seconds that a change waits for the next one
LIST_LIMIT = 60  # steps that are listed; Bitbucket takes 32,768 characters
TEXT_LIMIT = 200  # characters of one text

_ICONS = {StatusState.SUCCESSFUL: "✅", StatusState.FAILED: "❌", StatusState.STOPPED: "⏹️"}


def speak(tx: Transaction, stored: StoredBuild, progress: Progress, now: float, display: Display) -> None:
    """Make the comment on the pull request speak of this build, unless it speaks of a later one."""
    build = stored.build
    if build.pull_request is None:
        return
    comment = Comment(build.repository, build.pull_request.number, compose(build.commit, progress, display))
    previous = comments.find(tx, build.repository.full_name, build.pull_request.number)
    if previous is None or not is_newer(tx, previous.build_id, stored):
        comments.desire(tx, _wish(build.id, comment, progress, previous, now), previous, now)


def _wish(
    build_id: str, comment: Comment, progress: Progress, previous: StoredComment | None, now: float
) -> CommentWish:
    same_stage = previous is not None and (previous.build_id, previous.milestone) == (build_id, progress.milestone)
    other_end = progress.state.final and previous is not None and previous.desired != comment
    return CommentWish(
        build_id=build_id,
        comment=comment,
        milestone=progress.milestone,
        due_at=now + (PILE if previous else 0.0),
        worth_writing=other_end or not same_stage,
    )


def compose(commit: str, progress: Progress, display: Display) -> str:
    """The comment, in Markdown. It ends with the mark by which we know it again."""
    paragraphs = (
        f"**{_code(display.instance_name)}** {_icon(progress.state)} {_code(describe(progress))}",
        f"{_link(progress, display)} of commit {_code(commit[:SHORT_HASH])}",
        "\n".join(_items(progress)),
        marker(display.instance_name),
    )
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def marker(instance_name: str) -> str:
    """A line that no reader sees: a definition of a link that nothing refers to."""
    return f"[//]: # (probo-bitbucket {re.sub('[^A-Za-z0-9._-]', '-', instance_name)})"


def _link(progress: Progress, display: Display) -> str:
    """The environment, as a link unless there is none: statuses without an environment link to Bitbucket's pages."""
    url = progress.told.url
    if progress.broken_off or url.startswith(f"{display.site_url}/"):
        return "Environment"
    return f"[Environment]({quote(url, safe=':/?#@!$&*+,;=%~')})"


def _items(progress: Progress) -> Iterator[str]:
    for step in progress.steps[:LIST_LIMIT]:
        yield f"- {_icon(step.desired.state, running=runs(step))} {_code(_title(step))}"
    if len(progress.steps) > LIST_LIMIT:
        yield f"- and {len(progress.steps) - LIST_LIMIT} more"


def _title(step: StoredStatus) -> str:
    """Plugin and name, and of a failure what was run."""
    title = step.context.partition("/")[2]
    failed = step.desired.state is StatusState.FAILED
    return f"{title}: {rules.without_icon(step.desired.description)}" if failed else title


def _icon(state: StatusState, *, running: bool = True) -> str:
    return _ICONS.get(state, "▶️" if running else "⌛")


def _code(text: str) -> str:
    """*text* as a code span: nothing in it means anything, and it cannot end before its last character."""
    one_line = " ".join("".join(each if each.isprintable() else " " for each in text.replace("`", "'")).split())
    return f"`{one_line[:TEXT_LIMIT] or '-'}`"
