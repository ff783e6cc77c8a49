"""Webhooks and the generations of their secrets, on both databases."""

from __future__ import annotations

import sqlalchemy as sa

from probo_bitbucket.model import Delivery, Ignored
from probo_bitbucket.store import deliveries, hook_reports, hooks
from probo_bitbucket.store.hook_reports import KeptReport
from probo_bitbucket.store.hooks import GRACE, KnownHook

NOW = 1_800_000_000.0


def test_the_first_secret_is_made_when_it_is_needed_and_stays(tx: sa.Connection) -> None:
    assert hooks.secrets(tx) == ()
    generation, secret = hooks.newest_secret(tx, NOW)
    assert hooks.newest_secret(tx, NOW) == (generation, secret)
    assert len(secret) >= 32
    assert hooks.secrets(tx) == (secret,)


def test_a_secret_is_good_until_no_webhook_has_it_and_nothing_signed_with_it_is_on_its_way(tx: sa.Connection) -> None:
    first, old = hooks.newest_secret(tx, NOW)
    for place in ("acme/a", "acme/b"):
        hooks.keep(tx, KnownHook(place, f"uuid of {place}", first, NOW), old)
    second, new = hooks.new_secret(tx, NOW)
    hooks.keep(tx, KnownHook("acme/a", "uuid", second, NOW), new)
    hooks.prune(tx, NOW + 2 * GRACE)
    assert hooks.secrets(tx) == (new, old)  # acme/b still has it
    hooks.keep(tx, KnownHook("acme/b", "uuid", second, NOW + 2 * GRACE), new)
    hooks.prune(tx, NOW + 2 * GRACE + 1)
    assert hooks.secrets(tx) == (new, old)
    assert hooks.prune(tx, NOW + 3 * GRACE + 1) == 1
    assert hooks.secrets(tx) == (new,)


def test_no_secret_outlives_the_last_webhook(tx: sa.Connection) -> None:
    generation, secret = hooks.newest_secret(tx, NOW)
    hooks.keep(tx, KnownHook("acme/a", "uuid", generation, NOW), secret)
    assert hooks.forget_unused(tx) == 0
    hooks.forget(tx, "acme/a")
    assert hooks.prune(tx, NOW + GRACE) == 0  # a webhook may just be on its way to Bitbucket
    assert hooks.prune(tx, NOW + 2 * GRACE) == 1
    assert hooks.secrets(tx) == ()


def test_a_webhook_keeps_its_secret_though_it_was_taken_for_unused_before_bitbucket_had_it(tx: sa.Connection) -> None:
    generation, secret = hooks.newest_secret(tx, NOW)
    hooks.forget_unused(tx)
    hooks.keep(tx, KnownHook("acme/a", "uuid", generation, NOW), secret)
    assert hooks.secrets(tx) == (secret,)


def test_no_generation_is_made_twice(tx: sa.Connection) -> None:
    forgotten, _ = hooks.newest_secret(tx, NOW)
    hooks.forget_unused(tx)
    assert hooks.newest_secret(tx, NOW)[0] > forgotten


def test_a_webhook_is_known_by_its_last_delivery(tx: sa.Connection) -> None:
    assert hooks.last_delivery(tx, "u") is None
    before = hooks.newest_delivery(tx)
    for at, uuid in ((1.0, "u"), (2.0, "u"), (3.0, "other")):
        deliveries.record(tx, Delivery("repo:push", b"{}", at, uuid, f"request {at:g}"), Ignored("a push"))
    assert hooks.last_delivery(tx, "u") == 2.0
    assert hooks.bodies_after(tx, before, "repo:push") == [b"{}"] * 3
    assert hooks.bodies_after(tx, hooks.newest_delivery(tx), "repo:push") == []
    assert hooks.arrived_after(tx, before, "request 3")
    assert not hooks.arrived_after(tx, before, "request 4")


def test_a_secret_is_in_no_repr(tx: sa.Connection) -> None:
    generation, secret = hooks.newest_secret(tx, NOW)
    assert secret not in repr(KnownHook("acme/a", "uuid", generation, NOW))


def test_only_of_places_that_are_looked_after_it_is_told_what_is_wrong(tx: sa.Connection) -> None:
    hooks.keep(tx, KnownHook("acme/made", "uuid", 1, NOW), "c4n4ry-swordfish")
    uuids = {"acme/made": "", "acme/named": "", "acme/by-hand": "another", "acme/tpyo": ""}
    reports = [KeptReport(place, "look", "wrong", "404", "", uuid, NOW) for place, uuid in uuids.items()]
    hook_reports.keep(tx, reports)
    told = {each.place for each in hook_reports.standing(tx, "wrong", ["acme/named"], 9)}
    assert told == {"acme/made", "acme/named", "acme/by-hand"}


def test_old_reports_are_deleted_but_for_those_of_webhooks_made_here(tx: sa.Connection) -> None:
    hooks.keep(tx, KnownHook("acme/made", "uuid", 1, NOW), "c4n4ry-swordfish")
    places = ("acme/made", "acme/old", "acme/older", "acme/new")
    reports = [KeptReport(place, "look", "wrong", "404", "", "", NOW + (place == "acme/new")) for place in places]
    hook_reports.keep(tx, reports)
    assert [hook_reports.prune(tx, NOW + 1, 1) for _ in range(3)] == [1, 1, 0]
    assert set(hook_reports.kept(tx, places)) == {"acme/made", "acme/new"}
