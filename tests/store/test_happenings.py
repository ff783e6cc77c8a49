"""What work went through is kept with its times: the last of it, and as long as the work."""

from __future__ import annotations

import sqlalchemy as sa

from probo_bitbucket.store import happenings
from probo_bitbucket.store.happenings import KEPT, Happening


def test_what_happens_again_and_again_is_one_line_with_its_first_and_last_time(tx: sa.Connection) -> None:
    for words, now in (("down", 1.0), ("down", 2.0), ("refused", 3.0), ("down", 4.0)):
        happenings.note(tx, "build", "b-1", words, now)
    assert happenings.of(tx, ("build",), "b-1") == [
        Happening("build", "", 1.0, 2.0, 2, "down"),
        Happening("build", "", 3.0, 3.0, 1, "refused"),
        Happening("build", "", 4.0, 4.0, 1, "down"),
    ]


def test_the_last_of_each_piece_of_work_are_kept(tx: sa.Connection) -> None:
    happenings.note(tx, "status", "b-1", "down", 0.0, "Probo/env")
    happenings.note(tx, "build", "b-2", "down", 0.0)
    for number in range(KEPT + 5):
        happenings.note(tx, "build", "b-1", f"trouble {number}", float(number))
    kept = [each.words for each in happenings.of(tx, ("build",), "b-1")]
    assert kept == [f"trouble {number}" for number in range(5, KEPT + 5)]
    assert len(happenings.of(tx, ("status",), "b-1")) == len(happenings.of(tx, ("build",), "b-2")) == 1


def test_what_is_over_for_long_is_deleted(tx: sa.Connection) -> None:
    happenings.note(tx, "build", "b-1", "down", 1.0)
    happenings.note(tx, "build", "b-2", "down", 5.0)
    assert happenings.prune(tx, 5.0, 100) == 1
    assert [len(happenings.of(tx, ("build",), name)) for name in ("b-1", "b-2")] == [0, 1]
