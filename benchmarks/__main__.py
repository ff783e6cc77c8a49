"""`python -m benchmarks [NAME…]`: measures, prints a table in Markdown, and keeps the raw numbers as JSON.

With `--quick` it takes less than a minute, and ends with 1 if a ratio is 30 % below the one that was kept.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import react

from benchmarks.comparison import HEAD, Comparison, Machine, Numbers
from benchmarks.programme import QUICK, programme
from benchmarks.scene import CannotMeasure, keep_away

KEPT = Path(__file__).with_name("quick.json")  # the ratios that --quick compares with
FALL = 0.7  # of what a ratio was, below which --quick fails


class Report(msgspec.Struct):
    machine: Machine
    comparisons: list[Numbers]


async def perform(
    reactor: Any,
    comparisons: Sequence[Comparison],
    done: list[Comparison],
    *,
    repeats: int,
    kept: Mapping[str, float],
    file: Path | None,
) -> None:
    """Run *comparisons*, as far as they can be, and keep the raw numbers in *file* as they come."""
    print("\n".join(HEAD), flush=True)
    for comparison in comparisons:
        try:
            await comparison.run(reactor, repeats)
        except CannotMeasure as missing:
            print(f"{comparison.name}: {missing}", file=sys.stderr)
            continue
        if has_fallen(comparison, kept):
            await comparison.run(reactor, 4 * repeats)  # the machine may have been busy for a moment
        print(comparison.row(), flush=True)
        done.append(comparison)
        if file:
            report = Report(Machine.this(), [each.numbers for each in done])
            file.write_bytes(msgspec.json.format(msgspec.json.encode(report)))


def has_fallen(comparison: Comparison, kept: Mapping[str, float]) -> bool:
    """Whether its ratio is far below the one that was kept."""
    return comparison.ratio < FALL * kept[comparison.name] if comparison.name in kept else False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of the names of what is to be measured")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--repeats", type=int, help="how often each is measured, ours and the baseline in turns")
    parser.add_argument("--seconds", type=float, help="how long each load lasts")
    parser.add_argument("--json", type=Path, help="where the raw numbers are kept")
    asked = parser.parse_args()
    keep_away()
    names = asked.names or (list(QUICK) if asked.quick else [])
    repeats, seconds = asked.repeats or (2 if asked.quick else 5), asked.seconds or (1.0 if asked.quick else 5.0)
    kept: dict[str, float] = msgspec.json.decode(KEPT.read_bytes()) if asked.quick else {}
    known = list(programme(seconds))
    chosen = [each for each in known if not names or any(name in each.name for name in names)]
    if not chosen:
        parser.error("\n".join(["nothing has a name with these words; there are:", *(each.name for each in known)]))

    done: list[Comparison] = []

    def performed(reactor: Any) -> Deferred[None]:
        return Deferred.fromCoroutine(perform(reactor, chosen, done, repeats=repeats, kept=kept, file=asked.json))

    try:
        react(performed)
    except SystemExit as end:
        if end.code:
            raise
    words = [f"{each.name}: the ratio was {kept[each.name]:.2f}" for each in done if has_fallen(each, kept)]
    if len(done) < len(chosen):
        words.append("not all of it could be measured")
    if words:
        sys.exit("\n".join(words))


if __name__ == "__main__":
    main()
