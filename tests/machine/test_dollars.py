"""Prices come from a dated table, and a machine costs what its sizes say."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

import vswaplab as vl
from vswaplab.machine.dollars import ITEMS
from vswaplab.machine.stores import PageContents

ROW = """
[[price]]
item = "dram"
usd_per_gib = 4
date = "2026-01-31"
title = "a module"
tag = "guess"
source = "none"
"""
GIB = 1 << 18  # pages


def file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


def test_prices__built_in_ones_have_each_item_with_date_evidence_and_source() -> None:
    table = vl.prices()

    assert set(table["item"]) == set(ITEMS)
    assert table.schema["date"] == pl.Date
    assert (table["source"].str.len_chars() > 20).all()
    assert table.filter(pl.col("tag").str.contains("guess"))["item"].unique().to_list() == ["cram"]


def test_prices__at_a_day_is_the_newest_until_then() -> None:
    assert vl.prices(at="2026-06-30").filter(item="dram")["date"].item() == date(2025, 7, 1)
    assert vl.prices(at=date(2026, 7, 1)).filter(item="dram")["date"].item() == date(2026, 7, 1)
    assert vl.prices(at="2026-07-01")["item"].n_unique() == 3


def test_prices__a_file_is_taken_alone(tmp_path: Path) -> None:
    table = vl.prices(file(tmp_path, ROW))

    assert table.select("item", "usd_per_gib", "note").rows() == [("dram", 4.0, "")]


def test_cost_usd__is_sizes_times_the_newest_price() -> None:
    prices = pl.DataFrame(
        {
            "item": ["dram", "dram", "cram", "ssd"],
            "usd_per_gib": [10.0, 30.0, 20.0, 0.5],
            "date": [date(2026, 2, 1), date(2025, 1, 1), date(2025, 1, 1), date(2025, 1, 1)],
        }
    )
    machine = vl.Machine(
        vl.Dram(2 * GIB),
        vl.Cram(media_bytes=3 << 30, advertised_bytes=6 << 30),
        swapfiles=[vl.Swapfile(4 * GIB), vl.Swapfile(2 * GIB)],
    )

    assert vl.cost_usd(machine, prices) == {"dram": 20.0, "cram": 60.0, "ssd": 3.0, "total": 83.0}


def test_cost_usd__counts_the_backing_device_of_zram_and_not_its_pool(tmp_path: Path) -> None:
    zram = vl.Zram(8 << 30, idle_period=1000, backing_slots=GIB)
    machine = vl.Machine(vl.Dram(GIB), zram=zram)

    ssd = ROW.replace('"dram"', '"ssd"').replace("= 4", "= 0.25")
    assert vl.cost_usd(machine, vl.prices(file(tmp_path, ROW + ssd)))["total"] == 4.25


@dataclass(frozen=True)
class Shelf(vl.Store):
    """A tier of one's own, with a price of its own."""

    store_ns: int = 1
    load_ns: int = 1
    name = "shelf"

    def stored_bytes(self, contents: PageContents) -> NDArray[np.integer]:
        return np.full(len(contents), 4096)


def test_cost_usd__takes_a_tier_of_ones_own_by_its_name(tmp_path: Path) -> None:
    machine = vl.Machine(vl.Dram(GIB), stores=[Shelf(2 << 30)])
    own = ROW.replace('"dram"', '"shelf"').replace("= 4", "= 0.5")

    assert vl.cost_usd(machine, vl.prices(file(tmp_path, ROW + own))) == {
        "dram": 4.0, "cram": 0.0, "ssd": 0.0, "shelf": 1.0, "total": 5.0,
    }  # fmt: skip
    with pytest.raises(vl.InputError, match=r"none of shelf \(a tier of your own\)"):
        vl.cost_usd(machine, vl.prices(file(tmp_path, ROW)))


def test_cost_usd__refuses_what_has_no_price(tmp_path: Path) -> None:
    prices = vl.prices(file(tmp_path, ROW))

    assert vl.cost_usd(vl.Machine(vl.Dram(GIB)), prices)["total"] == 4.0
    with pytest.raises(vl.InputError, match=r"none of ssd .*: add a .*price.* with item = 'ssd'"):
        vl.cost_usd(vl.preset("swap-only", 1000), prices)
    with pytest.raises(vl.InputError, match="no column 'date'"):
        vl.cost_usd(vl.preset("swap-only", 1000), prices.drop("date"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("item", "itme"), "unknown field 'itme': did you mean item"),
        (('"dram"', '"HBM 3"'), "a price of 'HBM 3': item must be one of dram, cram, ssd, or the name of a tier"),
        (("= 4", "= -1"), "usd_per_gib must be a number from 0 to 1,000,000,000, got -1"),
        (("= 4", "= nan"), "usd_per_gib must be a number from 0 to 1,000,000,000, got nan"),
        (("= 4", f"= 1{'0' * 400}"), "usd_per_gib must be a number from 0 to"),
        (("= 4", "= 4\nnote = 7"), "note must be a text, got 7"),
        (('"2026-01-31"', "2026-01-31T10:00:00"), "date must be a day, YYYY-MM-DD, got datetime"),
        (("2026-01-31", "January"), "date must be a day, YYYY-MM-DD, got 'January'"),
        (('"guess"', '"X"'), "tag 'X' must be letters out of P, A, S"),
        (('"none"', '""'), "source must be a text; say where the figure is from"),
        (("[[price]]", "[[prices]]"), "found prices at the top; expected .*price.* tables and nothing else"),
        (("= 4", "= = 4"), "is not TOML"),
    ],
)
def test_prices__refuses_in_one_line(change: tuple[str, str], words: str, tmp_path: Path) -> None:
    with pytest.raises(vl.InputError, match=words) as refused:
        vl.prices(file(tmp_path, ROW.replace(*change, 1)))

    assert "\n" not in str(refused.value)


def test_prices__refuses_a_day_before_all_and_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(vl.InputError, match="no price of dram is as old as 2020-01-01: the oldest is of 2025-07-01"):
        vl.prices(at="2020-01-01")
    with pytest.raises(vl.InputError, match=r"cannot read the price table .*none\.toml"):
        vl.prices(tmp_path / "none.toml")


@pytest.mark.parametrize("taken", ["ssd", "total"])
def test_stores__names_of_what_is_paid_for_are_taken(taken: str) -> None:
    @dataclass(frozen=True)
    class Own(vl.Store):
        name = taken

        def stored_bytes(self, contents: object) -> NDArray[np.int64]:
            return np.ones(1, np.int64)

    with pytest.raises(vl.InputError, match="is no tier's or counter's own"):
        vl.Machine(vl.Dram(10), stores=[Own(4096, 1, 1)])
