"""The transition table against the reference engine, both ways; and what is counted from it, by hand."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np
import polars as pl
import pytest

import vswaplab as vl
from vswaplab.base.backing import BACKING_OF_STATE, State
from vswaplab.engine.plan import make_plan
from vswaplab.engine.reference import Reference
from vswaplab.machine.transitions import (
    DEVICES,
    FRONTS,
    GROWTH,
    TIER_NAMES,
    Event,
    Move,
    backend_work,
    moves,
    transitions,
    work,
)

LAYERS = ("none", "vswap", "swap-table")
SEEDS = range(40)
N_PAGES, N_ACCESSES = 40, 400
DEVICE_NAMES = ("SWAPFILE", "SWAPFILE2", "ZRAM")  # as Machine.swap_devices: the swapfiles, then zram
DRAINS: tuple[Event, ...] = ("swapoff", "removal")


# The reference, watched -----------------------------------------------------------------------


class Seen(NamedTuple):
    """One move of one page, as the reference makes it."""

    page: int
    source: str
    target: str
    n_mappers: int
    n_mapped: int  # of a page on CRAM


class Places(dict[int, State]):
    """The reference's table from page to state; it writes down every move between places."""

    def __init__(self, runner: Reference) -> None:
        super().__init__()
        self.runner = runner
        self.place: dict[int, str] = {}
        self.log: list[Seen] = []

    def __setitem__(self, page: int, state: State) -> None:
        super().__setitem__(page, state)
        where = "DRAM" if state == State.RESIDENT else BACKING_OF_STATE[state].name
        self._move(page, DEVICE_NAMES[self.runner.slot[page]] if state == State.SWAPFILE else where)

    def __delitem__(self, page: int) -> None:
        super().__delitem__(page)
        self._move(page, "nowhere")

    def pop(self, page: int, *default: State) -> State:
        found = super().pop(page, *default)
        self._move(page, "nowhere")
        return found

    def _move(self, page: int, place: str) -> None:
        before = self.place.get(page, "nowhere")
        if before != place:
            n_mapped = len(self.runner.mapped.get(page, ()))
            self.log.append(Seen(page, before, place, len(self.runner.mappers.get(page, ())), n_mapped))
        self.place[page] = place


def random_machine(rng: np.random.Generator, layer: str, mode: str) -> vl.Machine:
    cram = vl.Cram(
        media_bytes=6 * 4096,
        advertised_bytes=12 * 4096,
        mode=mode,
        writable_budget_pages=int(rng.choice([0, 2, 6])) if mode == "swap" else 0,
        writeback_to=str(rng.choice(["zswap", "swapfile"])),
        writeback_high=0.6,
        writeback_low=0.3,
    )
    first, second, third = (int(priority) for priority in rng.permutation(3))
    room = [int(slots) for slots in rng.choice([4, 12, 40], 3)]
    return vl.Machine(
        dram=vl.Dram(8, total_pages=40, high=2),
        cram=cram if rng.random() < 0.8 else None,
        zswap=vl.Zswap(
            max_pool_percent=int(rng.choice([5, 10])), accept_threshold_percent=50, writeback=bool(rng.random() < 0.6)
        ),
        swapfiles=[vl.Swapfile(room[0], priority=first), vl.Swapfile(room[1], priority=second)],
        zram=vl.Zram(disksize_bytes=room[2] * 4096, priority=third, mem_limit_bytes=int(rng.choice([0, 4096]))),
        layer=layer,
    )


def random_trace(rng: np.random.Generator) -> vl.Trace:
    page = rng.integers(0, N_PAGES, N_ACCESSES)
    mappers = rng.integers(1, 8, N_PAGES)
    mapper = [rng.choice([m for m in range(3) if mappers[p] >> m & 1]) for p in page]
    size = [500, 1500, 2500, 4096, 64, 64]
    corpus = {"is_zero": [False] * 4 + [True] * 2, "lz4_4k": size, "lzo_4k": size}
    return vl.Trace(
        page,
        rng.choice(3, N_ACCESSES, p=[0.4, 0.4, 0.2] if rng.random() < 0.5 else [0.45, 0.45, 0.1]),
        n_pages=N_PAGES,
        content=rng.integers(0, 6, N_PAGES),
        corpus=vl.Corpus(pl.DataFrame(corpus)),
        redraw_probability=0.5,
        mapper=mapper,
        mappers=mappers,
    )


def watched(seed: int, layer: str, mode: str = "swap") -> tuple[Reference, Places]:
    rng = np.random.default_rng(seed)
    trace, machine = random_trace(rng), random_machine(rng, layer, mode)
    runner = Reference(make_plan(trace, machine, seed), trace)
    runner.state = places = Places(runner)
    return runner, places


def ended(seed: int, layer: str, mode: str = "swap", *, after: int = N_ACCESSES) -> tuple[Reference, Places]:
    runner, places = watched(seed, layer, mode)
    runner.run(0, after)
    return runner, places


@cache
def seen_in_runs() -> frozenset[tuple[str, str]]:
    runs = (ended(*case)[1].log for case in product(SEEDS, ("none", "vswap"), ("swap", "tier")))
    return frozenset((seen.source, seen.target) for log in runs for seen in log)


def drain(runner: Reference, places: Places, event: str, device: int) -> tuple[int, list[Seen]]:
    # Page-table entries that it changed, and the moves it made itself; those of reclaim on the way are left out.
    start, maps = len(places.log), runner.plan.holds_slots
    found = runner.remove_cram(maps=maps) if event == "removal" else runner.swapoff(device, maps=maps)
    made = [seen for seen in places.log[start:] if seen.source != "DRAM"]
    return found.pte_changed, [s for s in made if s.source == "CRAM" or event == "swapoff"]


# The table is what the reference does ---------------------------------------------------------


def of_events(*, drains: bool) -> set[tuple[str, str]]:
    return {(move.source, move.target) for move in moves() if (move.event in DRAINS) == drains}


def test_transitions__every_move_of_the_reference_is_in_the_table() -> None:
    assert seen_in_runs() - of_events(drains=False) == set()


def test_transitions__the_reference_makes_every_move_of_the_table() -> None:
    assert of_events(drains=False) - seen_in_runs() == set()


@pytest.mark.slow  # seconds
@pytest.mark.parametrize("layer", ["none", "vswap"])
@pytest.mark.parametrize("event", DRAINS)
def test_transitions__emptying_a_device_makes_the_moves_of_the_table(event: str, layer: str) -> None:
    seen = set()
    for seed, device in product(SEEDS, range(3)):
        runner, places = ended(seed, layer, after=N_ACCESSES // (device + 1))
        if runner.plan.cram is not None:
            made = drain(runner, places, event, device)[1]
            seen |= {(s.source, s.target) for s in made if event == "removal" or s.target == "DRAM"}

    assert seen == {(m.source, m.target) for m in moves() if m.event == event and work(m, layer) is not None}


@pytest.mark.parametrize("layer", ["none", "vswap"])
def test_work__slots_are_taken_and_given_back_as_the_reference_does(layer: str) -> None:
    after = {"taken": {True}, "given back": {False}, "kept": {"before"}, "kept or given back": {"before", False}}
    for (source, target), changes in slots_in_runs(layer).items():
        rows = [move for move in moves() if move[1:] == (source, target) and move.event not in DRAINS]
        told = set().union(*(after[slot_of(move, layer)] for move in rows))

        assert all(has in told or ("before" in told and has == had) for had, has in changes)
        if told == {"before", False} and (True, True) not in changes:
            assert (True, False) not in changes  # it is not always given back


@cache
def slots_in_runs(layer: str) -> dict[tuple[str, str], set[tuple[bool, bool]]]:
    # Whether a page had a slot before the access that moved it, and after it.
    found: dict[tuple[str, str], set[tuple[bool, bool]]] = {}
    for seed in SEEDS:
        runner, places = watched(seed, layer)
        for index in range(N_ACCESSES):
            before, start = dict(runner.slot), len(places.log)
            if runner.run(index, index + 1) == index:
                break  # out of memory
            for seen in only_moves(places.log[start:]):
                change = (seen.page in before, seen.page in runner.slot)
                found.setdefault((seen.source, seen.target), set()).add(change)
    return found


def only_moves(log: list[Seen]) -> list[Seen]:
    # Moves of pages that made no other one; CRAM gives a slot up when it maps a page writable in the same access.
    pages = [seen.page for seen in log]
    return [seen for seen in log if pages.count(seen.page) == 1 and seen.target != "CRAM"]


def slot_of(move: Move, layer: str) -> str:
    found = work(move, layer)
    assert found is not None
    return found.slot


@pytest.mark.parametrize("layer", ["none", "vswap"])
def test_work__page_table_entries_change_as_the_reference_counts_them(layer: str) -> None:
    # Within a run the reference counts those of writeback: no access of the page asked for it.
    for seed in SEEDS:
        runner, places = ended(seed, layer)
        between = [seen for seen in places.log if {seen.source, seen.target} <= set(TIER_NAMES)]

        assert runner.count["pte_changed"] == sum(entries(seen, "writeback", layer) for seen in between)


@pytest.mark.slow  # seconds
@pytest.mark.parametrize("layer", ["none", "vswap"])
@pytest.mark.parametrize("event", DRAINS)
def test_work__emptying_a_device_changes_the_entries_of_the_table(event: Event, layer: str) -> None:
    for seed in SEEDS:
        runner, places = ended(seed, layer)
        if runner.plan.cram is not None:
            mapped = {page: len(mappers) for page, mappers in runner.mapped.items()}
            n_changed, made = drain(runner, places, event, device=0)
            made = [seen._replace(n_mapped=mapped.get(seen.page, 0)) for seen in made]

            assert n_changed == sum(entries(s, event, layer) for s in made if event == "removal" or s.target == "DRAM")


def entries(seen: Seen, event: Event, layer: str) -> int:
    found = work(Move(event, seen.source, seen.target), layer)
    assert found is not None
    return {"every": seen.n_mappers, "mapped": seen.n_mapped, "no": 0}[found.entries]


# What is counted from it ----------------------------------------------------------------------


def counted(column: str, layer: str, tiers: tuple[str, ...] = GROWTH) -> list[int]:
    return backend_work(tiers).filter(pl.col("layer") == layer)[column].to_list()


def by_formula(tiers: tuple[str, ...], layer: str, *, shared: bool = False) -> int:
    """Count what tiers need in the head: fronts, devices, and the writebacks from one to another."""
    n_fronts = len(set(tiers) & set(FRONTS))
    n_devices = len(set(tiers) & set(DEVICES))
    sources = {"CRAM", "ZSWAP"} & set(tiers)
    between_fronts = len({"ZERO", "ZSWAP"} & set(tiers)) * ("CRAM" in tiers)
    if shared:
        n_devices = 1
    if layer != "none":  # store, load, free; write out; swapoff
        return 3 * (n_fronts + n_devices) + len(sources) + n_devices
    pairs = 4 * n_fronts * n_devices + len(sources) * n_devices + between_fronts
    return 2 * n_fronts + 4 * n_devices + len(sources) + pairs


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("last", [2, 3, 4, 5, 6])
def test_backend_work__paths_are_those_of_the_formula(layer: str, last: int) -> None:
    assert counted("n_paths", layer)[last - 2] == by_formula(GROWTH[:last], layer)
    assert counted("n_paths_shared", layer)[last - 2] == by_formula(GROWTH[:last], layer, shared=True)


def test_backend_work__a_layer_grows_by_the_tier_and_no_layer_by_the_pair() -> None:
    assert counted("n_paths", "vswap") == [7, 11, 15, 19, 23]
    assert counted("n_paths", "none") == [10, 18, 28, 46, 64]
    assert counted("n_paths_shared", "none") == [10, 18, 28, 28, 28]
    assert counted("n_pairs", "none") == [1, 2, 5, 8, 11]
    assert counted("n_pairs", "vswap") == [0] * 5


def test_backend_work__only_without_a_layer_a_move_rewrites_every_entry() -> None:
    # Swapoff of ZERO and SWAPFILE; of ZSWAP; CRAM: 3 writebacks, 4 removals, swapoff; each further device: 3.
    assert counted("n_rewriting", "none") == [2, 3, 11, 14, 17]
    assert counted("n_rewriting", "vswap") == [0] * 5


def test_backend_work__the_transitions_themselves_are_nearly_as_many() -> None:
    # The difference: a swapoff that empties ZERO, ZSWAP and CRAM too.
    assert counted("n_transitions", "none") == [9, 14, 26, 33, 40]
    assert counted("n_transitions", "vswap") == [8, 12, 23, 30, 37]


def test_backend_work__a_layer_costs_more_bits_a_page() -> None:
    assert counted("most_bits", "none") == [64, 128, 128, 128, 128]
    assert counted("most_bits", "vswap") == [257] * 5
    assert counted("most_bits", "swap-table") == [192] * 5
    assert counted("least_bits", "none") == [64] * 5


def test_backend_work__the_order_in_which_tiers_come_does_not_change_the_end() -> None:
    turned = ("ZRAM", "CRAM", "SWAPFILE2", "ZSWAP", "ZERO", "SWAPFILE")

    assert [counted("n_paths", layer, turned)[-1] for layer in LAYERS] == [64, 23, 23]


def test_backend_work__swap_devices_alone_need_no_pair_without_a_layer() -> None:
    assert counted("n_paths", "none", ("SWAPFILE", "ZRAM")) == counted("n_paths", "vswap", ("SWAPFILE", "ZRAM")) == [8]


def test_transitions__both_layers_have_every_move_but_one_kind() -> None:
    lacking = transitions().filter(pl.col("paths_vswap").is_null())

    assert set(lacking["event"]) == {"swapoff"}
    assert set(lacking["from"]) == set(FRONTS)
    assert transitions()["paths_none"].null_count() == 0


def test_transitions__with_a_layer_no_code_knows_two_tiers() -> None:
    paths = transitions()["paths_vswap"].explode().drop_nulls().to_list()

    assert max(sum(word in TIER_NAMES for word in path.split()) for path in paths) == 1


@pytest.mark.parametrize(
    ("tiers", "message"),
    [
        (["ZERO", "SWAPFILES"], "no tier 'SWAPFILES'; nearest: SWAPFILE"),
        (["SWAPFILE", 3], "no tier 3; nearest: ZERO, CRAM"),
        (["SWAPFILE"], r"tiers \['SWAPFILE'\] are fewer than two"),
        (["SWAPFILE", "SWAPFILE"], "'SWAPFILE' is named twice: name each once; a second swapfile is 'SWAPFILE2'"),
        (["ZERO", "ZSWAP", "SWAPFILE"], r"none of the first two tiers \['ZERO', 'ZSWAP'\] is a swap device"),
        ("ZERO", r"must be a list of names such as \['ZERO', 'SWAPFILE'\], got 'ZERO'"),
    ],
)
def test_backend_work__bad_tiers_are_refused_in_one_line(tiers: object, message: str) -> None:
    with pytest.raises(vl.InputError, match=message) as raised:
        backend_work(tiers)  # type: ignore[arg-type]

    assert "\n" not in str(raised.value)
