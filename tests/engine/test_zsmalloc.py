"""zsmalloc's rule worked out by hand, and the published watermarks (docs.kernel.org/mm/zsmalloc.html)."""

from __future__ import annotations

import pytest

from vswaplab.base.units import PAGE_SIZE
from vswaplab.engine import zsmalloc
from vswaplab.engine.zsmalloc import SHARE_BITS, SizeClass, class_of, footprint_table, size_classes

# By hand from mm/zsmalloc.c's rule.
# Compressed bytes, merged class, pages and objects of a zspage, bytes an object costs, the same with chains of 4.
DERIVED = [
    (100, 112, 7, 256, "112.0", "112.2"),
    (512, 528, 4, 31, "528.5", "528.5"),
    (1024, 1056, 8, 31, "1057.0", "1092.3"),
    (1365, 1424, 8, 23, "1424.7", "1489.5"),
    (2048, 2176, 8, 15, "2184.5", "2340.6"),
    (2500, 2512, 8, 13, "2520.6", "2730.7"),
    (2990, 3072, 3, 4, "3072.0", "3072.0"),
    (3264, 3408, 5, 6, "3413.3", "4096.0"),
    (3624, 3632, 8, 9, "3640.9", "4096.0"),
    (3625, 4096, 1, 1, "4096.0", "4096.0"),
    (4096, 4096, 1, 1, "4096.0", "4096.0"),
]


@pytest.fixture
def chain(monkeypatch: pytest.MonkeyPatch):
    """Set the longest chain of pages, and forget the classes made with another."""

    def set_chain(pages: int) -> None:
        monkeypatch.setattr(zsmalloc, "CHAIN_SIZE", pages)
        size_classes.cache_clear()
        footprint_table.cache_clear()

    yield set_chain
    monkeypatch.undo()
    size_classes.cache_clear()
    footprint_table.cache_clear()


@pytest.mark.parametrize(("length", "size", "pages", "objects", "cost", "_"), DERIVED)
def test_the_derived_table__chain_of_8(length, size, pages, objects, cost, _):
    assert class_of(length) == SizeClass(size, pages, objects)
    assert f"{footprint_table()[length] / (1 << SHARE_BITS):.1f}" == cost


@pytest.mark.parametrize(("length", "cost"), [(row[0], row[-1]) for row in DERIVED])
def test_the_derived_table__chain_of_4(chain, length, cost):
    chain(4)
    assert f"{footprint_table()[length] / (1 << SHARE_BITS):.1f}" == cost


@pytest.mark.parametrize(("pages", "largest", "classes"), [(4, 3264, 69), (8, 3632, 119), (16, 3840, 192)])
def test_the_huge_watermark_and_the_number_of_classes(chain, pages, largest, classes):
    chain(pages)
    assert size_classes()[-2].size == largest
    assert len(size_classes()) == classes


def test_average_packing_waste__is_2_6_percent_from_200_to_3264_bytes():
    table = footprint_table()
    lengths = range(200, 3265)
    waste = sum(table[s] / (1 << SHARE_BITS) / s - 1 for s in lengths) / len(lengths)
    assert f"{waste:.1%}" == "2.6%"


def test_a_full_zspage_costs_its_pages_and_not_a_byte_more():
    # Shares are rounded down, so a full zspage never counts a page too many, and one object more always does.
    table = footprint_table()
    page = PAGE_SIZE << SHARE_BITS
    for length in range(1, PAGE_SIZE + 1):
        _, pages, objects = class_of(length)
        full = int(table[length]) * objects
        assert -(-full // page) == pages
        assert -(-(full + int(table[length])) // page) == pages + 1


def test_costs_never_fall_as_objects_grow_and_hold_object_and_handle():
    table = [int(cost) for cost in footprint_table()]
    assert table == sorted(table)
    assert all(
        cost >> SHARE_BITS >= min(length + zsmalloc.HANDLE_BYTES, PAGE_SIZE) for length, cost in enumerate(table)
    )
