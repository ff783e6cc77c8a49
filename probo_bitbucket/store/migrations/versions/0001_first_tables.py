"""The first tables."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")
# For ids that others remember longer than the row is there: SQLite would give that of the newest one again.
_NEVER_AGAIN: dict[str, Any] = {"sqlite_autoincrement": True}


def upgrade() -> None:
    _deliveries()
    _builds()
    _pull_requests()
    _removals()
    _watches()
    _statuses()
    _steps()
    _happenings()
    _forwarded()
    _repositories()
    _commands()
    _comments()
    _credentials()
    _others()
    _leases()


def _work() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("pending", sa.Boolean, nullable=False),
        sa.Column("due_at", sa.Double, nullable=False, server_default="0"),
        sa.Column("leased_by", sa.String(64), nullable=False, server_default=""),
        sa.Column("leased_until", sa.Double, nullable=False, server_default="0"),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("failing_since", sa.Double),
        sa.Column("last_error", sa.Text, nullable=False, server_default=""),
        sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
        sa.Column("trouble", sa.Text, nullable=False, server_default=""),
    )


def _index_pending(name: str, table: str, *columns: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text("pending = 1"), postgresql_where=sa.text("pending"))


def _index_troubled(name: str, table: str, *columns: str) -> None:
    troubled = sa.text("last_error <> ''")
    op.create_index(name, table, columns, sqlite_where=troubled, postgresql_where=troubled)


def _index_telling(name: str, *columns: str) -> None:
    in_sqlite, in_postgresql = sa.text("noise = 0"), sa.text("NOT noise")
    op.create_index(name, "deliveries", columns, sqlite_where=in_sqlite, postgresql_where=in_postgresql)


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", _SERIAL, primary_key=True),
        sa.Column("received_at", sa.Double, nullable=False),
        sa.Column("event_key", sa.Text, nullable=False),
        sa.Column("hook_uuid", sa.Text, nullable=False),
        sa.Column("request_uuid", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("repository", sa.String(260), nullable=False),
        sa.Column("pull_request", sa.BigInteger),
        sa.Column("lane", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("build_id", sa.String(64)),
        sa.Column("decided_at", sa.Double),
        sa.Column("noise", sa.Boolean, nullable=False, server_default=sa.text("false")),
        *_work(),
        **_NEVER_AGAIN,
    )
    _index_pending("deliveries_pending", "deliveries", "id")
    _index_pending("deliveries_pending_lane", "deliveries", "lane", "id")
    op.create_index("deliveries_received", "deliveries", ["received_at"])
    op.create_index("deliveries_in_state", "deliveries", ["state", "id"])
    op.create_index("deliveries_of_repository", "deliveries", ["repository", "id"])
    op.create_index("deliveries_of_lane", "deliveries", ["lane", "id"])
    op.create_index("deliveries_of_hook", "deliveries", ["hook_uuid", "id"])
    built = sa.text("build_id IS NOT NULL")
    op.create_index("deliveries_of_build", "deliveries", ["build_id", "id"], sqlite_where=built, postgresql_where=built)
    _index_telling("deliveries_telling", "id")
    _index_telling("deliveries_telling_in_state", "state", "id")
    _index_telling("deliveries_telling_of_repository", "repository", "id")


def _builds() -> None:
    op.create_table(
        "builds",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("claim", sa.Text, unique=True),
        sa.Column("lane", sa.Text, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text, nullable=False, server_default=""),
        sa.Column("origin", sa.String(80), nullable=False, server_default=""),
        sa.Column("ended_by", sa.String(80), nullable=False, server_default=""),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("changed_at", sa.Double, nullable=False),
        sa.Column("configured_at", sa.Double),
        sa.Column("started_at", sa.Double),
        sa.Column("told_at", sa.Double),
        sa.Column("ready_at", sa.Double),
        sa.Column("repository", sa.String(260), nullable=False),
        sa.Column("source", sa.String(260), nullable=False),
        sa.Column("pull_request", sa.BigInteger),
        sa.Column("commit", sa.String(40), nullable=False),
        sa.Column("build", sa.Text, nullable=False),
        sa.Column("result", sa.String(20)),
        sa.Column("document", sa.Text, nullable=False, server_default=""),
        *_work(),
    )
    _index_pending("builds_pending", "builds", "created_at", "id")
    _index_pending("builds_pending_lane", "builds", "lane", "created_at", "id")
    op.create_index("builds_of_lane", "builds", ["lane", "created_at"])
    op.create_index("builds_of_source", "builds", ["source", "pull_request", "created_at"])
    op.create_index("builds_of_pull_request", "builds", ["repository", "pull_request", "created_at", "id"])
    op.create_index("builds_origin", "builds", ["origin"])
    op.create_index("builds_ended_by", "builds", ["ended_by"])
    op.create_index("builds_changed", "builds", ["changed_at"])
    op.create_index("builds_created", "builds", ["created_at", "id"])
    op.create_index("builds_in_state", "builds", ["state", "created_at", "id"])
    op.create_index("builds_with_result", "builds", ["state", "result", "created_at", "id"])
    op.create_index("builds_of_repository", "builds", ["repository", "created_at", "id"])
    op.create_index("builds_of_commit", "builds", ["commit", "created_at", "id"])


def _pull_requests() -> None:
    op.create_table(
        "pull_requests",
        sa.Column("lane", sa.Text, primary_key=True),
        sa.Column("identity", sa.String(260), nullable=False),
        sa.Column("repository", sa.String(260), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("source", sa.String(260), nullable=False),
        sa.Column("branch", sa.Text, nullable=False),
        sa.Column("home", sa.Text, nullable=False),
        sa.Column("pull_request", sa.Text, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.Column("changed_at", sa.Double, nullable=False),
        sa.Column("approved", sa.String(12), nullable=False, server_default=""),
        sa.Column("policy", sa.String(100), nullable=False, server_default=""),
        sa.Column("closed_by", sa.String(80), nullable=False, server_default=""),
        *_work(),
    )
    _index_pending("pull_requests_pending", "pull_requests", "changed_at")
    op.create_index("pull_requests_of_branch", "pull_requests", ["identity", "branch"])
    op.create_index("pull_requests_of_repository", "pull_requests", ["repository", "number", "changed_at"])
    op.create_index("pull_requests_changed", "pull_requests", ["changed_at"])
    _index_troubled("pull_requests_troubled", "pull_requests", "changed_at")


def _removals() -> None:
    op.create_table(
        "removals",
        sa.Column("build_id", sa.String(255), primary_key=True),
        sa.Column("repository", sa.String(260), nullable=False),
        sa.Column("pull_request", sa.BigInteger),
        sa.Column("reason", sa.Integer, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
        sa.Column("origin", sa.String(80), nullable=False, server_default=""),
        sa.Column("wanted_at", sa.Double, nullable=False),
        sa.Column("done_at", sa.Double),
        sa.Column("pinned", sa.Boolean, nullable=False, server_default=sa.text("false")),
        *_work(),
    )
    _index_pending("removals_pending", "removals", "wanted_at")
    op.create_index("removals_wanted", "removals", ["wanted_at"])
    op.create_index("removals_origin", "removals", ["origin"])
    _index_troubled("removals_troubled", "removals", "wanted_at")


def _watches() -> None:
    op.create_table(
        "watches",
        sa.Column("build_id", sa.String(255), primary_key=True),
        sa.Column("repository", sa.String(260), nullable=False),
        sa.Column("heard_at", sa.Double, nullable=False),
        *_work(),
    )
    _index_pending("watches_pending", "watches", "due_at")


def _statuses() -> None:
    op.create_table(
        "statuses",
        sa.Column("repository", sa.String(260), primary_key=True),
        sa.Column("commit", sa.String(40), primary_key=True),
        sa.Column("key", sa.String(40), primary_key=True),
        sa.Column("build_id", sa.String(255), nullable=False),
        sa.Column("context", sa.Text, nullable=False),
        sa.Column("rank", sa.Integer, nullable=False),
        sa.Column("settled", sa.Boolean, nullable=False),
        sa.Column("tasks", sa.Text, nullable=False),
        sa.Column("desired", sa.Text, nullable=False),
        sa.Column("reported", sa.Text, nullable=False, server_default=""),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("milestone", sa.Integer),
        sa.Column("failed", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("changed_at", sa.Double, nullable=False),
        sa.Column("reported_at", sa.Double),
        *_work(),
    )
    _index_pending("statuses_pending", "statuses", "rank", "due_at")
    op.create_index("statuses_of_build", "statuses", ["build_id"])
    op.create_index("statuses_changed", "statuses", ["changed_at"])
    op.create_index(
        "statuses_failed",
        "statuses",
        ["changed_at"],
        sqlite_where=sa.text("failed = 1"),
        postgresql_where=sa.text("failed"),
    )


def _steps() -> None:
    op.create_table(
        "steps",
        sa.Column("build_id", sa.String(255), primary_key=True),
        sa.Column("key", sa.String(40), primary_key=True),
        sa.Column("context", sa.Text, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("told", sa.Text, nullable=False),
        sa.Column("began_at", sa.Double, nullable=False),
        sa.Column("ended_at", sa.Double),
        sa.Column("changed_at", sa.Double, nullable=False),
    )
    op.create_index("steps_changed", "steps", ["changed_at"])


def _happenings() -> None:
    op.create_table(
        "happenings",
        sa.Column("id", _SERIAL, primary_key=True),
        sa.Column("work", sa.String(20), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("key", sa.String(40), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("until", sa.Double, nullable=False),
        sa.Column("times", sa.Integer, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
    )
    op.create_index("happenings_of_work", "happenings", ["name", "work", "key", "id"])
    op.create_index("happenings_until", "happenings", ["until"])


def _forwarded() -> None:
    op.create_table(
        "forwarded",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("received_at", sa.Double, nullable=False),
        sa.Column("provider", sa.String(40), nullable=False),
        sa.Column("repository", sa.String(260), nullable=False),
        sa.Column("build_id", sa.String(260), nullable=False),
        sa.Column("context", sa.Text, nullable=False),
        sa.Column("lane", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("content_type", sa.Text, nullable=False),
        sa.Column("trail", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("failed", sa.Boolean, nullable=False, server_default=sa.text("false")),
        *_work(),
    )
    _index_pending("forwarded_pending", "forwarded", "id")
    _index_pending("forwarded_pending_lane", "forwarded", "lane", "id")
    op.create_index("forwarded_lane", "forwarded", ["lane", "id"])
    op.create_index("forwarded_received", "forwarded", ["received_at"])
    op.create_index("forwarded_of_repository", "forwarded", ["repository", "id"])
    op.create_index(
        "forwarded_failed",
        "forwarded",
        ["received_at"],
        sqlite_where=sa.text("failed = 1"),
        postgresql_where=sa.text("failed"),
    )


def _repositories() -> None:
    op.create_table(
        "repositories",
        sa.Column("name", sa.String(260), primary_key=True),
        sa.Column("home", sa.Text, nullable=False),
        sa.Column("interval", sa.Double, nullable=False),
        sa.Column("active_at", sa.Double, nullable=False),
        sa.Column("looked_at", sa.Double, nullable=False),
        *_work(),
    )
    _index_pending("repositories_pending", "repositories", "due_at")


def _commands() -> None:
    op.create_table(
        "commands",
        sa.Column("repository", sa.String(260), primary_key=True),
        sa.Column("pull_request", sa.BigInteger, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True),
        sa.Column("author", sa.String(255), nullable=False),
        sa.Column("lane", sa.Text, nullable=False),
        sa.Column("command", sa.String(20), nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("origin", sa.String(64), nullable=False),
        sa.Column("answer", sa.Text),
        sa.Column("created_at", sa.Double, nullable=False),
        *_work(),
    )
    _index_pending("commands_pending", "commands", "number")
    _index_pending("commands_pending_lane", "commands", "lane", "number")
    op.create_index("commands_of_author", "commands", ["repository", "author", "created_at"])
    op.create_index("commands_created", "commands", ["created_at"])
    _index_troubled("commands_troubled", "commands", "created_at")


def _comments() -> None:
    op.create_table(
        "comments",
        sa.Column("repository", sa.String(260), primary_key=True),
        sa.Column("pull_request", sa.BigInteger, primary_key=True),
        sa.Column("build_id", sa.String(64), nullable=False),
        sa.Column("number", sa.BigInteger),
        sa.Column("desired", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("milestone", sa.Integer, nullable=False),
        sa.Column("refused_for", sa.String(64), nullable=False, server_default=""),
        sa.Column("changed_at", sa.Double, nullable=False),
        *_work(),
    )
    _index_pending("comments_pending", "comments", "due_at")
    op.create_index("comments_changed", "comments", ["changed_at"])
    _index_troubled("comments_troubled", "comments", "changed_at")


def _credentials() -> None:
    op.create_table(
        "chains",
        sa.Column("origin", sa.String(64), primary_key=True),
        sa.Column("refresh_token", sa.Text, nullable=False),
        sa.Column("access_token", sa.Text, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.Column("refreshed_at", sa.Double, nullable=False),
        sa.Column("dead", sa.Text, nullable=False),
        sa.Column("consumer", sa.String(64), nullable=False, server_default=""),
        sa.Column("leased_by", sa.String(64), nullable=False, server_default=""),
        sa.Column("leased_until", sa.Double, nullable=False, server_default="0"),
    )
    op.create_table(
        "chain_holders",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("chain", sa.String(64), nullable=False),
        sa.Column("shown", sa.String(64), nullable=False),
    )
    op.create_index("chain_holders_chain", "chain_holders", ["chain"])
    op.create_table(
        "chain_members",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("chain", sa.String(64), nullable=False),
        sa.Column("given_at", sa.Double),
    )
    op.create_index("chain_members_given", "chain_members", ["given_at"])
    op.create_index("chain_members_chain", "chain_members", ["chain"])
    op.create_table(
        "hand_ons",
        sa.Column("chain", sa.String(64), primary_key=True),
        sa.Column("held", sa.Text, nullable=False),
        sa.Column("renewed_at", sa.Double, nullable=False),
        *_work(),
    )
    _index_pending("hand_ons_pending", "hand_ons", "due_at")
    _index_troubled("hand_ons_troubled", "hand_ons", "renewed_at")
    op.create_table(
        "consumers",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("set_up_at", sa.Double, nullable=False),
    )


def _others() -> None:
    op.create_table(
        "hooks",
        sa.Column("place", sa.String(260), primary_key=True),
        sa.Column("uuid", sa.String(64), nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("changed_at", sa.Double, nullable=False),
    )
    op.create_table(
        "hook_reports",
        sa.Column("place", sa.String(260), primary_key=True),
        sa.Column("deed", sa.String(20), nullable=False),
        sa.Column("grade", sa.String(20), nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("advice", sa.Text, nullable=False),
        sa.Column("uuid", sa.String(64), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
    )
    op.create_index("hook_reports_at", "hook_reports", ["at"])
    op.create_table(
        "hook_secrets",
        sa.Column("generation", _SERIAL, primary_key=True),
        sa.Column("secret", sa.String(128), nullable=False),
        sa.Column("made_at", sa.Double, nullable=False),
        **_NEVER_AGAIN,
    )
    op.create_table(
        "projects",
        sa.Column("id", sa.String(300), primary_key=True),
        sa.Column("repository", sa.Text, nullable=False, unique=True),
    )
    op.create_table(
        "requests",
        sa.Column("consumer", sa.String(200), primary_key=True),
        sa.Column("minute", sa.BigInteger, primary_key=True),
        sa.Column("node", sa.String(64), primary_key=True),
        sa.Column("sent", sa.Integer, nullable=False),
    )
    op.create_table(
        "pauses",
        sa.Column("consumer", sa.String(200), primary_key=True),
        sa.Column("silent_until", sa.Double, nullable=False),
        sa.Column("near_until", sa.Double, nullable=False),
    )
    op.create_table(
        "house",
        sa.Column("name", sa.String(100), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )


def _leases() -> None:
    leased = sa.text("leased_by <> ''")
    for table in (
        "deliveries",
        "builds",
        "pull_requests",
        "removals",
        "statuses",
        "comments",
        "commands",
        "repositories",
        "forwarded",
        "hand_ons",
        "watches",
    ):
        op.create_index(f"{table}_leased", table, ["leased_by"], sqlite_where=leased, postgresql_where=leased)
