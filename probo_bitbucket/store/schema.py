"""The tables. What stands here, and in partial_indexes.py, is what the newest migration makes."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

from probo_bitbucket.model import BUILD_ID

metadata = MetaData()

# SQLite counts up by itself only for a column that is declared INTEGER.
_SERIAL = BigInteger().with_variant(Integer, "sqlite")


def _work() -> tuple[Column[Any], ...]:
    """The columns of a row that is something to do: who does it, when it is due, how often it failed."""
    return (
        Column("pending", Boolean, nullable=False),  # there is something to do
        Column("due_at", Double, nullable=False, server_default="0"),
        Column("leased_by", String(64), nullable=False, server_default=""),
        Column("leased_until", Double, nullable=False, server_default="0"),
        Column("attempts", Integer, nullable=False, server_default="0"),
        Column("failing_since", Double),
        Column("last_error", Text, nullable=False, server_default=""),
        # What it had taken when it was last done: how many tries, and the last trouble among them.
        Column("tries", Integer, nullable=False, server_default="0"),
        Column("trouble", Text, nullable=False, server_default=""),
    )


deliveries = Table(
    "deliveries",
    metadata,
    Column("id", _SERIAL, primary_key=True),
    Column("received_at", Double, nullable=False),
    Column("event_key", Text, nullable=False),
    Column("hook_uuid", Text, nullable=False),
    Column("request_uuid", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("repository", String(260), nullable=False),
    Column("pull_request", BigInteger),
    Column("lane", Text, nullable=False),  # deliveries of one lane are decided one after the other
    Column("body", LargeBinary, nullable=False),
    Column("state", String(20), nullable=False),
    Column("reason", Text, nullable=False),
    Column("build_id", String(64)),
    Column("decided_at", Double),
    Column("noise", Boolean, nullable=False, server_default=text("false")),  # left out of lists
    *_work(),
    Index("deliveries_received", "received_at"),
    Index("deliveries_in_state", "state", "id"),
    Index("deliveries_of_repository", "repository", "id"),
    Index("deliveries_of_lane", "lane", "id"),
    Index("deliveries_of_hook", "hook_uuid", "id"),
)

builds = Table(
    "builds",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("claim", Text, unique=True),  # what may be built only once; null when it may be built again
    Column("lane", Text, nullable=False),  # builds of one lane are started one after the other
    Column("state", String(20), nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("origin", String(80), nullable=False, server_default=""),  # what asked for it: `delivery 17`
    # What wanted no more of it, likewise.
    Column("ended_by", String(80), nullable=False, server_default=""),
    Column("created_at", Double, nullable=False),
    Column("changed_at", Double, nullable=False),  # of the state, or of any status
    Column("configured_at", Double),  # when the configuration had been read
    Column("started_at", Double),  # when the Container Manager had it
    Column("told_at", Double),  # when it first told us something itself
    Column("ready_at", Double),  # when the Container Manager said that its environment is there
    Column("repository", String(260), nullable=False),
    Column("source", String(260), nullable=False),  # where the commit is: a fork perhaps
    Column("pull_request", BigInteger),
    Column("commit", String(40), nullable=False),
    Column("build", Text, nullable=False),  # model.Build as JSON
    Column("result", String(20)),  # the worst that its steps told; null before the first
    # What /startbuild gets, without credentials.
    Column("document", Text, nullable=False, server_default=""),
    *_work(),
    Index("builds_of_lane", "lane", "created_at"),
    Index("builds_of_source", "source", "pull_request", "created_at"),
    Index("builds_of_pull_request", "repository", "pull_request", "created_at", "id"),
    Index("builds_origin", "origin"),
    Index("builds_ended_by", "ended_by"),
    Index("builds_changed", "changed_at"),
    Index("builds_created", "created_at", "id"),
    Index("builds_in_state", "state", "created_at", "id"),
    Index("builds_with_result", "state", "result", "created_at", "id"),
    Index("builds_of_repository", "repository", "created_at", "id"),
    Index("builds_of_commit", "commit", "created_at", "id"),
)

# What is to be done of it is, once it is closed, to look for what it has left behind at the Container Manager.
pull_requests = Table(
    "pull_requests",
    metadata,
    Column("lane", Text, primary_key=True),  # that of its builds: whatever its repository is called
    Column("identity", String(260), nullable=False),  # of its repository
    Column("repository", String(260), nullable=False),  # as it was called when it was last told of
    Column("number", BigInteger, nullable=False),
    Column("state", String(20), nullable=False),
    Column("source", String(260), nullable=False),  # where the branch is: a fork perhaps
    Column("branch", Text, nullable=False),
    Column("home", Text, nullable=False),  # model.Repository as JSON: the one that it is in
    # model.PullRequest as JSON, as last told while it was open; "" where it was told of when it was closed only
    Column("pull_request", Text, nullable=False),
    Column("updated_at", Double, nullable=False),  # by Bitbucket's clock
    Column("changed_at", Double, nullable=False),  # of this row
    Column("approved", String(12), nullable=False, server_default=""),  # what may be built of a fork
    # What the settings said of such pull requests when it was last told of.
    Column("policy", String(100), nullable=False, server_default=""),
    # What told of its end, such as `delivery 17`.
    Column("closed_by", String(80), nullable=False, server_default=""),
    *_work(),
    Index("pull_requests_of_branch", "identity", "branch"),
    Index("pull_requests_of_repository", "repository", "number", "changed_at"),
    Index("pull_requests_changed", "changed_at"),
)

# Builds that nobody wants any more. A row stays when its environment was taken down: what is told of it is not shown.
removals = Table(
    "removals",
    metadata,
    Column("build_id", String(BUILD_ID), primary_key=True),
    Column("repository", String(260), nullable=False),
    Column("pull_request", BigInteger),
    Column("reason", Integer, nullable=False),  # model.RemovalReason
    Column("words", Text, nullable=False),
    Column("origin", String(80), nullable=False, server_default=""),  # what asked for it: `delivery 17`
    Column("wanted_at", Double, nullable=False),
    Column("done_at", Double),
    # Somebody keeps the environment: until it is unpinned, what is told of it is shown.
    Column("pinned", Boolean, nullable=False, server_default=text("false")),
    *_work(),
    Index("removals_wanted", "wanted_at"),
    Index("removals_origin", "origin"),
)

# Builds of which news is expected. To ask about one is always something to do, at its time.
watches = Table(
    "watches",
    metadata,
    Column("build_id", String(BUILD_ID), primary_key=True),
    Column("repository", String(260), nullable=False),
    Column("heard_at", Double, nullable=False),  # when anything was last told of it, or its report was another one
    *_work(),
)

statuses = Table(
    "statuses",
    metadata,
    Column("repository", String(260), primary_key=True),
    Column("commit", String(40), primary_key=True),
    Column("key", String(40), primary_key=True),
    Column("build_id", String(BUILD_ID), nullable=False),
    Column("context", Text, nullable=False),
    Column("rank", Integer, nullable=False),  # 0 for final states, which go first; 1 for the others
    Column("settled", Boolean, nullable=False),  # the Container Manager said that nothing follows
    Column("tasks", Text, nullable=False),  # JSON: how far each task is that reported under this key
    Column("desired", Text, nullable=False),  # model.Status as JSON
    # The one that Bitbucket has, "" before the first.
    Column("reported", Text, nullable=False, server_default=""),
    Column("version", BigInteger, nullable=False),  # of `desired`
    # Of a summary: how far the build was when that was last worth a report. Null for what it sums up.
    Column("milestone", Integer),
    Column("failed", Boolean, nullable=False, server_default=text("false")),  # given up, see last_error
    Column("changed_at", Double, nullable=False),
    Column("reported_at", Double),  # when Bitbucket last took one
    *_work(),
    Index("statuses_of_build", "build_id"),
    Index("statuses_changed", "changed_at"),
)

# What each build told of its steps. A status, which a later build of the commit takes over, is what Bitbucket shows.
steps = Table(
    "steps",
    metadata,
    Column("build_id", String(BUILD_ID), primary_key=True),
    Column("key", String(40), primary_key=True),
    Column("context", Text, nullable=False),
    Column("state", String(20), nullable=False),
    Column("told", Text, nullable=False),  # model.Status as JSON: its last word
    Column("began_at", Double, nullable=False),  # when it was first told of
    Column("ended_at", Double),
    Column("changed_at", Double, nullable=False),
    Index("steps_changed", "changed_at"),
)

# What work went through before it was done: a delivery by its id, all else by that of its build.
happenings = Table(
    "happenings",
    metadata,
    Column("id", _SERIAL, primary_key=True),
    Column("work", String(20), nullable=False),
    Column("name", String(BUILD_ID), nullable=False),
    Column("key", String(40), nullable=False),  # of a status
    Column("at", Double, nullable=False),
    Column("until", Double, nullable=False),  # when it happened for the last time, with nothing else between
    Column("times", Integer, nullable=False),
    Column("words", Text, nullable=False),
    Index("happenings_of_work", "name", "work", "key", "id"),
    Index("happenings_until", "until"),
)

forwarded = Table(
    "forwarded",
    metadata,
    Column("id", _SERIAL, primary_key=True),
    Column("received_at", Double, nullable=False),
    Column("provider", String(40), nullable=False),
    Column("repository", String(260), nullable=False),
    Column("build_id", String(260), nullable=False),
    Column("context", Text, nullable=False),
    Column("lane", Text, nullable=False),  # updates of one lane are passed on one after the other
    Column("path", Text, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("trail", Text, nullable=False),  # marks of the handlers that passed it on, ours among them
    Column("body", LargeBinary, nullable=False),  # empty once it is passed on
    Column("failed", Boolean, nullable=False, server_default=text("false")),  # given up, see last_error
    *_work(),
    Index("forwarded_lane", "lane", "id"),
    Index("forwarded_received", "received_at"),
    Index("forwarded_of_repository", "repository", "id"),
)

# Every repository that a delivery was decided for. Looking at it is always something to do, at its time.
repositories = Table(
    "repositories",
    metadata,
    Column("name", String(260), primary_key=True),
    Column("home", Text, nullable=False),  # model.Repository as JSON
    Column("interval", Double, nullable=False),  # seconds between the last two looks
    Column("active_at", Double, nullable=False),  # when it was last told of
    Column("looked_at", Double, nullable=False),  # 0 before the first look
    *_work(),
)

# What people asked for in comments. A row stays when it is carried out: Bitbucket can send the comment again.
commands = Table(
    "commands",
    metadata,
    Column("repository", String(260), primary_key=True),
    Column("pull_request", BigInteger, primary_key=True),
    Column("number", BigInteger, primary_key=True),  # Bitbucket's id of the comment
    Column("author", String(255), nullable=False),
    Column("lane", Text, nullable=False),  # commands of one lane are carried out one after the other
    Column("command", String(20), nullable=False),
    Column("comment", Text, nullable=False),  # model.Commented as JSON
    Column("origin", String(64), nullable=False),  # what told of it: `delivery 17`
    Column("answer", Text),  # what is said of it; null before it is carried out
    Column("created_at", Double, nullable=False),
    *_work(),
    Index("commands_of_author", "repository", "author", "created_at"),
    Index("commands_created", "created_at"),
)

comments = Table(
    "comments",
    metadata,
    Column("repository", String(260), primary_key=True),
    Column("pull_request", BigInteger, primary_key=True),
    Column("build_id", String(64), nullable=False),  # which it speaks of
    Column("number", BigInteger),  # Bitbucket's id of our comment; null before there is one
    Column("desired", Text, nullable=False),  # model.Comment as JSON
    Column("version", BigInteger, nullable=False),  # of `desired`
    Column("milestone", Integer, nullable=False),  # how far the build was when that was last worth a request
    # The build for which Bitbucket does not take it, or for which somebody deleted it; see last_error.
    Column("refused_for", String(64), nullable=False, server_default=""),
    Column("changed_at", Double, nullable=False),
    *_work(),
    Index("comments_changed", "changed_at"),
)

chains = Table(
    "chains",
    metadata,
    Column(
        "origin", String(64), primary_key=True
    ),  # digest of the token that the chain began with: what it is known by
    Column("refresh_token", Text, nullable=False),
    Column("access_token", Text, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("refreshed_at", Double, nullable=False),
    Column("dead", Text, nullable=False),  # why Bitbucket does not accept it any more
    # Digest of the consumer that it was renewed with last; empty where nobody knows.
    Column("consumer", String(64), nullable=False, server_default=""),
    Column("leased_by", String(64), nullable=False, server_default=""),
    Column("leased_until", Double, nullable=False, server_default="0"),
)

chain_holders = Table(
    "chain_holders",
    metadata,
    Column("name", String(200), primary_key=True),  # an account, or a project of the coordinator
    Column("chain", String(64), nullable=False),
    Column("shown", String(64), nullable=False),  # digest of the token that settings or coordinator have for it, or ""
    Index("chain_holders_chain", "chain"),
)

chain_members = Table(
    "chain_members",
    metadata,
    Column("digest", String(64), primary_key=True),  # SHA-256 of a refresh token that the chain ever had
    Column("chain", String(64), nullable=False),
    Column("given_at", Double),  # when Bitbucket gave it; null for one that we were given, which is never forgotten
    Index("chain_members_given", "given_at"),
    Index("chain_members_chain", "chain"),
)

hand_ons = Table(
    "hand_ons",
    metadata,
    Column("chain", String(64), primary_key=True),
    Column("held", Text, nullable=False),  # the refresh token of the chain that the coordinator has
    Column("renewed_at", Double, nullable=False),  # since when it has to be told
    *_work(),
)

consumers = Table(
    "consumers",
    metadata,
    Column("name", String(200), primary_key=True),  # of the account
    Column("key", Text, nullable=False),
    Column("secret", Text, nullable=False),
    Column("set_up_at", Double, nullable=False),
)

hooks = Table(
    "hooks",
    metadata,
    Column("place", String(260), primary_key=True),  # a repository's full name, or a workspace
    Column("uuid", String(64), nullable=False),
    Column("generation", BigInteger, nullable=False),  # of the secret that it was last given
    Column("changed_at", Double, nullable=False),
)

hook_secrets = Table(
    "hook_secrets",
    metadata,
    Column("generation", _SERIAL, primary_key=True),
    Column("secret", String(128), nullable=False),
    Column("made_at", Double, nullable=False),
)

# How each place's webhook was when somebody last looked, or did something about it.
hook_reports = Table(
    "hook_reports",
    metadata,
    Column("place", String(260), primary_key=True),
    Column("deed", String(20), nullable=False),
    Column("grade", String(20), nullable=False),
    Column("what", Text, nullable=False),
    Column("advice", Text, nullable=False),
    Column("uuid", String(64), nullable=False),
    Column("at", Double, nullable=False),
    Index("hook_reports_at", "at"),
)

projects = Table(
    "projects",
    metadata,
    Column("id", String(300), primary_key=True),
    Column("repository", Text, nullable=False, unique=True),  # identity
)

requests = Table(
    "requests",
    metadata,
    Column("consumer", String(200), primary_key=True),
    Column("minute", BigInteger, primary_key=True),  # since the epoch
    Column("node", String(64), primary_key=True),
    Column("sent", Integer, nullable=False),
)

pauses = Table(
    "pauses",
    metadata,
    Column("consumer", String(200), primary_key=True),
    Column("silent_until", Double, nullable=False),  # Bitbucket takes no requests
    Column("near_until", Double, nullable=False),  # it takes only what cannot wait
)

house = Table(
    "house",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("value", Text, nullable=False),
)
