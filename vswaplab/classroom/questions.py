"""Three questions for the class, with answers whose every number is looked up in the tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, cast

import polars as pl

from vswaplab.classroom.dials import RISKS, SIZES, Dial, starts


class Question(NamedTuple):
    """A question and its folded answer, plain text."""

    asks: str
    answer: str


class Sizes:
    """What the first table says at one setting of the sliders, those not named where they start."""

    def __init__(self, by_tier: pl.DataFrame, dials: tuple[Dial, ...] = SIZES, **at: int) -> None:
        self.rows = {row["tier"]: row for row in by_tier.filter(**starts(dials) | at).iter_rows(named=True)}

    @property
    def wait_ms(self) -> float:
        """Time waited outside DRAM."""
        return sum(cast(float, row["stall_ms"]) for tier, row in self.rows.items() if tier != "DRAM")

    def mib(self, tier: str) -> float:
        """Pages in a tier at the end."""
        return cast(float, self.rows[tier]["mib"])

    def touches(self, tier: str) -> int:
        """Touches that a tier served."""
        return cast(int, self.rows[tier]["touches"])

    def wait_us(self, tier: str) -> float:
        """All waits of a tier over the touches that it served: moving pages in is part of it."""
        return cast(float, self.rows[tier]["wait_ns"]) / 1e3


class Risk:
    """What the second table says at one setting."""

    def __init__(self, by_window: pl.DataFrame, dials: tuple[Dial, ...] = RISKS, **at: int) -> None:
        found = by_window.filter(**starts(dials) | at).row(0, named=True)
        self.lost_runs, self.lost_pages = int(found["lost_runs"]), int(found["lost_pages"])
        self.stall_ms, self.moved = float(found["stall_ms"]), float(found["moved"])


def questions(
    by_tier: pl.DataFrame, by_window: pl.DataFrame, n_runs: int, wait_ns: Mapping[str, int]
) -> list[Question]:
    """Ask and answer; the tables must be those of the page's own sliders, ``wait_ns`` the price of an event."""
    return [_less_dram(by_tier, wait_ns), _media_or_pool(by_tier, wait_ns), _never_lose(by_window, n_runs)]


def _less_dram(by_tier: pl.DataFrame, wait_ns: Mapping[str, int]) -> Question:
    start, less = Sizes(by_tier), Sizes(by_tier, dram=30)
    gains = {tier: less.mib(tier) - start.mib(tier) for tier in ("CRAM", "zswap", "swapfile")}
    asks = (
        "Take DRAM from 40 % to 30 % of the program's pages. Guess first: which tier takes the pages that DRAM "
        "gives up, and how much longer does the program wait?"
    )
    answer = (
        f"DRAM holds {start.mib('DRAM') - less.mib('DRAM'):.1f} MiB less. CRAM changes by {gains['CRAM']:+.1f} MiB, "
        f"zswap by {gains['zswap']:+.1f} MiB, the swapfile by {gains['swapfile']:+.1f} MiB: the tiers between were "
        f"full, so what enters them at the top pushes colder pages out at the bottom. The wait grows from "
        f"{start.wait_ms:,.0f} ms to {less.wait_ms:,.0f} ms, {less.wait_ms / start.wait_ms:.1f} times as long, because "
        f"reading a page back from the swapfile takes {wait_ns['pswpin_0'] / 1e3:,.0f} µs. From zswap it takes "
        f"{wait_ns['zswpin'] / 1e3:.1f} µs, and with all the packing on the way in, {start.wait_us('zswap'):,.0f} µs "
        f"for each page that comes back."
    )
    return Question(asks, answer)


def _media_or_pool(by_tier: pl.DataFrame, wait_ns: Mapping[str, int]) -> Question:
    start, media, pool = Sizes(by_tier), Sizes(by_tier, media=20), Sizes(by_tier, pool=35)
    asks = (
        "You may raise the CRAM media from 15 % to 20 %, or the limit of the zswap pool from 20 % to 35 % of DRAM. "
        "Both let more pages be kept compressed. Which helps more, and what is different about the pool?"
    )
    answer = (
        f"The media: {start.wait_ms:,.0f} ms become {media.wait_ms:,.0f} ms, with the larger pool "
        f"{pool.wait_ms:,.0f} ms; reads from the swapfile fall from {start.touches('swapfile'):,} to "
        f"{media.touches('swapfile'):,} and {pool.touches('swapfile'):,}. The pool lies in DRAM: as it grows, "
        f"DRAM holds {start.mib('DRAM') - pool.mib('DRAM'):.1f} MiB less of the program uncompressed. It costs no "
        f"hardware, though, and the media do. A page in CRAM can be read where it lies, which takes "
        f"{wait_ns['cram_read'] / 1e3:.2f} µs, and {wait_ns['cram_soft_fault'] / 1e3:.2f} µs the first time; a page in "
        f"zswap has to come back to DRAM first, which takes {wait_ns['zswpin'] / 1e3:.1f} µs."
    )
    return Question(asks, answer)


def _never_lose(by_window: pl.DataFrame, n_runs: int) -> Question:
    settings = {"worst": (90, 480, 2000), "fresh": (90, 480, 250), "early": (60, 480, 2000), "never": (90, 0, 2000)}
    risks = {name: Risk(by_window, mark=mark, budget=b, lag=lag) for name, (mark, b, lag) in settings.items()}
    asks = (
        "In the second experiment set 90 %, 480 pages and 2,000 accesses between reports. Pages are lost. Find three "
        "settings, each one slider away, with which none is lost. Which of them is a guarantee?"
    )
    lost = {name: f"{risk.lost_runs} of {n_runs}" for name, risk in risks.items()}
    worst, early, never = risks["worst"], risks["early"], risks["never"]
    answer = (
        f"With these {lost['worst']} runs lost pages, {worst.lost_pages} in all. Reports every 250 accesses: "
        f"{lost['fresh']} runs, the kernel sees the device fill up in time. Writeback from 60 %: {lost['early']}, "
        f"there is room for what it does not see, and that costs {early.stall_ms:.0f} ms a run instead of "
        f"{worst.stall_ms:.0f} ms, for more pages go on to slower tiers. No writing in place: {lost['never']}, and "
        f"only this is a guarantee. A page at rest cannot grow, and a page that does not fit is refused on its way "
        f"in, when nothing is lost by it; the other two lost nothing in {n_runs} runs, which proves little. Its "
        f"price: a write moves the page to DRAM, {never.moved:,.0f} times a run."
    )
    return Question(asks, answer)
