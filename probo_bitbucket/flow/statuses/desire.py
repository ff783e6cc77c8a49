"""The desired state of a status: what replaces what, and what is worth a request to Bitbucket."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve, frozen

from probo_bitbucket.bitbucket import links
from probo_bitbucket.bitbucket import statuses as rules
from probo_bitbucket.flow.statuses.derivation import derive
from probo_bitbucket.flow.statuses.display import Display
from probo_bitbucket.model import Build, Phase, Repository, Status, StatusState, Update
from probo_bitbucket.store import Transaction, statuses
from probo_bitbucket.store.removals import Removal
from probo_bitbucket.store.statuses import StoredStatus, Wish

PILE = 5.0  # seconds that a change waits which the next one may undo; of those in progress only `env` has any
TASKS = 200  # tasks remembered under one key


@frozen
class Subject:
    """What a status is about, and the pages it can link to, best first."""

    build_id: str
    repository: Repository
    commit: str
    refname: str
    urls: Sequence[str]
    home: Repository | None = None  # where the pull request of the build is

    @classmethod
    def of(cls, build: Build, build_url: str = "") -> Subject:
        """The subject that *build* is. *build_url* is the template of the environments' addresses."""
        urls = [environment_url(build_url, build.id)]
        if build.pull_request:
            urls.append(build.pull_request.url)
        return cls(build.id, build.source, build.commit, build.branch, urls, build.repository)


def environment_url(template: str, build_id: str) -> str:
    """The address of a build's environment, by the same template as in the Container Manager's settings."""
    return template.replace("{{buildId}}", build_id)


def asked_for(subject: Subject, update: Update, display: Display) -> Status:
    """The status that *update* asks for."""
    status = rules.compose(
        subject.repository,
        subject.commit,
        context=update.context,
        phase=update.phase,
        final=update.final,
        description=update.description,
        urls=[update.target_url, *subject.urls],
        refname=subject.refname,
        site_url=display.site_url,
    )
    return evolve(status, home=subject.home)


def take(tx: Transaction, subject: Subject, update: Update, now: float, display: Display) -> Status:
    """Make *update* the desired state, unless a later one of the same task overtook it. Returns its status."""
    status = asked_for(subject, update, display)
    previous = statuses.find(tx, status)
    if previous is not None and overtaken(previous, update):
        return status
    wish = Wish(
        build_id=update.build_id,
        context=update.context,
        status=status,
        tasks=_tasks(previous, update),
        settled=update.final and not update.task_id,
        due_at=now if status.state.final or previous is None else now + PILE,
        worth_reporting=_worth_reporting(previous, status, display),
    )
    statuses.desire(tx, wish, previous, now)
    derive(tx, update.build_id, now, display)
    return status


def overtaken(previous: StoredStatus, update: Update) -> bool:
    """Tell whether *update* is older than what is known.

    The Container Manager sends what has a task without waiting, so it can arrive late: after a later state of the
    same task, or after the `[■]` without a task that ends the set-up of this build. No two runs, and no two builds of
    one commit, have a task in common.
    """
    if not update.task_id:
        return False
    known = previous.tasks.get(update.task_id)
    if known is not None and update.phase.rank < known.rank:
        return True
    return previous.settled and previous.build_id == update.build_id and not update.final


def _tasks(previous: StoredStatus | None, update: Update) -> dict[str, Phase]:
    """How far the tasks are that reported under this key."""
    tasks = dict(previous.tasks) if previous else {}
    if update.task_id:
        tasks[update.task_id] = update.phase
    return dict(list(tasks.items())[-TASKS:])


def _worth_reporting(previous: StoredStatus | None, status: Status, display: Display) -> bool:
    if previous is None:
        return display.steps
    if previous.reported is None and not display.steps:
        return False  # a key that Bitbucket has is kept true, even when the settings want no more of its kind
    if previous.error and previous.reported != previous.desired:
        return True
    return previous.desired != status and not rules.same_to_a_reader(previous.desired, status)


def stop(
    tx: Transaction,
    stored: StoredStatus,
    description: str,
    now: float,
    display: Display,
    *,
    for_good: bool = True,
) -> None:
    """Stop a status that would stay in progress for ever. A summary ends with what it sums up.

    Where that is not *for_good*, its tasks may go on to tell, and it is reported a little later: whether an environment
    is pinned is known only when it is to be taken down, and nobody shall see that it was taken for stopped.
    """
    if stored.is_summary:
        return
    status = evolve(stored.desired, state=StatusState.STOPPED, description=description)
    tasks = dict.fromkeys(stored.tasks, Phase.STOPPED) if for_good else stored.tasks
    due_at, worth = now if for_good else now + PILE, _worth_reporting(stored, status, display)
    wish = Wish(stored.build_id, stored.context, status, tasks, stored.settled, due_at, worth)
    statuses.desire(tx, wish, stored, now)
    derive(tx, stored.build_id, now, display, not_before=due_at)


def say_gone(tx: Transaction, removal: Removal, now: float, display: Display) -> None:
    """Let what is shown of an environment that was ready say why it is not there any more, and lead to Bitbucket.

    It stays a success: checks before a merge count it, and what it tells of the commit is as true as before. It is one
    request: what the environment's own status says, no summary beside it says again.
    """
    env = f"{display.instance_name}/env"
    for stored in statuses.of_build(tx, removal.build_id):
        if stored.context == env and stored.desired.state is StatusState.SUCCESSFUL:
            words, url = f"Environment gone: {removal.words}", _page(removal, stored, display)
            status = rules.within_limits(evolve(stored.desired, description=words, url=url))
            worth = _worth_reporting(stored, status, display)
            wish = Wish(stored.build_id, stored.context, status, stored.tasks, stored.settled, now, worth)
            statuses.desire(tx, wish, stored, now)
            derive(
                tx,
                stored.build_id,
                now,
                evolve(display, summary=display.summary and not display.steps),
                gone=removal.words,
            )


def _page(removal: Removal, stored: StoredStatus, display: Display) -> str:
    """Where to look when there is no environment."""
    if removal.pull_request is None:
        return links.commit(stored.desired.repository, stored.desired.commit, display.site_url)
    return links.pull_request(Repository.parse(removal.repository), removal.pull_request, display.site_url)
