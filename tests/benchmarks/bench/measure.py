"""What a measurement is: sides run in turns, their times as they were, and the ratios that come out."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Generic, Literal, TypeVar

Answer = TypeVar("Answer")
Kind = Literal["faster", "dearer", "at least", "at most"]
"""``faster``: the peer's time over ours. ``dearer``: ours over the peer's. The other two: a value as it is."""


@dataclass(frozen=True)
class Timed(Generic[Answer]):
    """One run of one side: wall and process CPU time, s, and what it found."""

    wall_s: float
    cpu_s: float
    answer: Answer


def timed(call: Callable[[], Answer]) -> Timed[Answer]:
    """Run something once on the clock."""
    wall, cpu = time.perf_counter(), time.process_time()
    answer = call()
    return Timed(time.perf_counter() - wall, time.process_time() - cpu, answer)


Side = Callable[[], Timed[Any]]
"""Runs one side once; what it prepares for itself is not on the clock."""
Check = Callable[[Mapping[str, Any]], str]
"""Says what is wrong with the answers of a round; empty: nothing."""


@dataclass
class Measurement:
    """One line of the table, with everything it is computed from.

    Parameters
    ----------
    row
        Row of the specification's section 7, ``others`` or ``guards``.
    label
        The case, for people.
    kind, unit
        What the figure is, and its unit (``x``: a ratio).
    ours, peer
        Names of the sides; keys of the times.
    touches
        Accesses on the clock, by which times are divided.
    must, aim
        Bounds of the figure; None: none.
    wall_s, cpu_s : s
        By side, one entry a round.
    values
        Where ``kind`` is a value: one entry a round.
    facts
        Counters and conditions that show what was run; ``void`` says why the
        figure counts for nothing, ``missing`` why there is none.
    """

    row: str
    label: str
    kind: Kind
    unit: str = "x"
    ours: str = ""
    peer: str = ""
    touches: int = 0
    must: float | None = None
    aim: float | None = None
    wall_s: dict[str, list[float]] = field(default_factory=dict)
    cpu_s: dict[str, list[float]] = field(default_factory=dict)
    values: list[float] = field(default_factory=list)
    facts: dict[str, int | float | str] = field(default_factory=dict)

    def figures(self) -> list[float]:
        """List the figure of every round."""
        return self._ratios(self.wall_s) if self.kind in ("faster", "dearer") else self.values

    def cpu_figure(self) -> float | None:
        """Take the median of the same ratios in process CPU time, which a busy neighbour disturbs less."""
        ratios = self._ratios(self.cpu_s) if self.kind in ("faster", "dearer") else []
        return median(ratios) if ratios else None

    def ns(self, side: str) -> float | None:
        """Give the median cost of a touch on one side, ns."""
        times = self.wall_s.get(side)
        return median(times) / self.touches * 1e9 if times else None

    def verdict(self) -> str:
        """Hold the median against the bounds."""
        if "missing" in self.facts:
            return "not available"
        if "void" in self.facts:
            return "VOID"
        figures = self.figures()
        if not figures or self.must is None:
            return ""
        if self.aim is not None and self._reaches(median(figures), self.aim):
            return "aim"
        return "reached" if self._reaches(median(figures), self.must) else "MISSED"

    def _reaches(self, figure: float, bound: float) -> bool:
        return figure >= bound if self.kind in ("faster", "at least") else figure <= bound

    def _ratios(self, times: Mapping[str, list[float]]) -> list[float]:
        over, under = (self.peer, self.ours) if self.kind == "faster" else (self.ours, self.peer)
        if over not in times or under not in times:
            return []
        return [a / max(b, 1e-9) for a, b in zip(times[over], times[under], strict=True)]


def alternate(sides: Mapping[str, Side], rounds: int, check: Check | None = None) -> Rounds:
    """Run every side once a round, in an order that turns round each time."""
    wall: dict[str, list[float]] = {name: [] for name in sides}
    cpu: dict[str, list[float]] = {name: [] for name in sides}
    complaint, answers = "", {}
    for k in range(rounds):
        for name in list(sides)[:: -1 if k % 2 else 1]:
            tidy()
            run = sides[name]()
            wall[name].append(run.wall_s)
            cpu[name].append(run.cpu_s)
            answers[name] = run.answer
        complaint = complaint or (check(answers) if check else "")
    return Rounds(wall, cpu, answers, complaint)


_LARGE = 1 << 16
"""Bytes: too many for the allocator's lists of small blocks, too few for a mapping of their own."""


def tidy() -> None:
    """Put in order what earlier runs left behind, so that no run is on the clock with another one's garbage.

    glibc leaves small blocks that were freed as they are until somebody asks
    for a large one. After libCacheSim, which frees an object a page, that was
    this engine, and half of its time at 4 Mi pages.
    """
    gc.collect()
    bytearray(_LARGE)


@dataclass(frozen=True)
class Rounds:
    """Times of all rounds, the last round's answers, and the first complaint about any round's."""

    wall_s: dict[str, list[float]]
    cpu_s: dict[str, list[float]]
    answers: dict[str, Any]
    complaint: str

    def into(self, measurement: Measurement) -> Measurement:
        """Put the times of a measurement's two sides into it."""
        for name in {measurement.ours, measurement.peer} & self.wall_s.keys():
            measurement.wall_s[name], measurement.cpu_s[name] = self.wall_s[name], self.cpu_s[name]
        if self.complaint:
            measurement.facts["void"] = self.complaint
        return measurement
