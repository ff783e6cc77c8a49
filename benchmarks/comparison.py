"""A comparison: ours beside a baseline, in turns, so that what else the machine does hits both."""

from __future__ import annotations

import os
import platform
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

import msgspec
from attrs import define, field

from benchmarks.scene import Scene

Measured = dict[str, float]  # by unit
Measure = Callable[[Scene], Awaitable[Measured]]

HEAD = ("| what | unit | ours | baseline | times better (least–most) | to reach |", "|---|---|---|---|---|---|")


class Machine(msgspec.Struct):
    """Where it was measured."""

    system: str
    python: str
    cores: int
    load: float  # average of the last minute, measuring itself included

    @classmethod
    def this(cls) -> Machine:
        system = f"{platform.system()} {platform.machine()}"
        return cls(system, platform.python_version(), os.cpu_count() or 1, os.getloadavg()[0])


class Numbers(msgspec.Struct):
    """The raw numbers of one comparison, run for run."""

    name: str
    unit: str
    ours: list[Measured]
    baseline: list[Measured]


@define
class Comparison:
    """What is compared is the figure *unit*, of which *less* or more is better.

    Some figures have no baseline; that of others is *given*, because it was measured elsewhere.

    The figure *beside* it is shown with it. What is *counted* and not timed does not depend on what else the machine
    does: it is measured once.
    """

    name: str
    unit: str
    target: str
    measure: Measure
    measure_baseline: Measure | None = None
    given: float | None = None
    beside: str = ""
    less: bool = False
    counted: bool = False
    ours: list[Measured] = field(factory=list)
    baseline: list[Measured] = field(factory=list)

    async def run(self, reactor: Any, repeats: int) -> None:
        for _ in range(1 if self.counted else repeats):
            self.ours.append(await _on_its_own(reactor, self.measure))
            if self.measure_baseline is not None:
                self.baseline.append(await _on_its_own(reactor, self.measure_baseline))
            elif self.given is not None:
                self.baseline.append({self.unit: self.given})

    @property
    def ratios(self) -> list[float]:
        """How many times better ours is, run for run."""
        pairs = [(ours[self.unit], base[self.unit]) for ours, base in zip(self.ours, self.baseline, strict=True)]
        return [base / ours if self.less else ours / base for ours, base in pairs]

    @property
    def ratio(self) -> float:
        return median(self.ratios)

    @property
    def numbers(self) -> Numbers:
        return Numbers(self.name, self.unit, self.ours, self.baseline)

    def row(self) -> str:
        """Of a table whose head is HEAD."""
        unit = f"{self.unit}, {self.beside}" if self.beside else self.unit
        cells = [self.name, unit, self._figures(self.ours), "", "", self.target]
        if self.baseline:
            cells[3] = self._figures(self.baseline)
            cells[4] = f"{self.ratio:.2f} ({min(self.ratios):.2f}–{max(self.ratios):.2f})"
        return f"| {' | '.join(cells)} |"

    def _figures(self, measured: list[Measured]) -> str:
        units = [unit for unit in (self.unit, self.beside) if unit in measured[0]]
        return " and ".join(f"{median(each[unit] for each in measured):,.1f}" for unit in units)


async def _on_its_own(reactor: Any, measure: Measure) -> Measured:
    scene = Scene(reactor)
    await scene.open()
    try:
        return await measure(scene)
    finally:
        await scene.close()
