"""A machine as code: what is evaluated is the machine again, whatever it was."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vswaplab as vl
from vswaplab.machine.presets import preset_names, with_settings
from vswaplab.machine.profiles import find_profile


def again(machine: vl.Machine) -> vl.Machine:
    made = eval(vl.machine_code(machine), {"vl": vl})
    assert isinstance(made, vl.Machine)
    return made


@pytest.mark.parametrize("name", preset_names())
@pytest.mark.parametrize("n_pages", [64, 22_009])
def test_machine_code__of_a_preset_makes_the_preset(name: str, n_pages: int) -> None:
    machine = vl.preset(name, n_pages)

    assert again(machine).to_dict() == machine.to_dict()


def test_machine_code__leaves_out_what_is_default_or_derived() -> None:
    machine = with_settings(vl.preset("zswap-only", 1000), ["zswap.compressor=lz4"])

    code = vl.machine_code(machine)

    assert code.splitlines() == [
        "vl.Machine(",
        "    dram=vl.Dram(capacity_pages=400),",
        "    zswap=vl.Zswap(),",
        "    swapfiles=[vl.Swapfile(capacity_slots=2000)],",
        ")",
    ]


def test_machine_code__names_a_profile_of_the_catalogue_however_it_was_given() -> None:
    by_name = vl.Machine(vl.Dram(8), vl.Cram(1 << 20, profile="rst"))
    in_full = vl.Machine(vl.Dram(8), vl.Cram(1 << 20, profile=find_profile("rst", "cram")))

    assert vl.machine_code(by_name) == vl.machine_code(in_full)
    assert 'profile="rst"' in vl.machine_code(by_name)


def test_machine_code__writes_a_profile_of_ones_own_in_full() -> None:
    mine = replace(find_profile("rst", "cram"), name="mine", read_ns=1, title='a "quoted" title')
    machine = vl.Machine(vl.Dram(8), vl.Cram(1 << 20, profile=mine))

    assert "vl.Profile(" in vl.machine_code(machine)
    assert again(machine).to_dict() == machine.to_dict()


def test_machine_code__keeps_a_kernel_and_swap_tiers() -> None:
    files = [vl.Swapfile(64, priority=5), vl.Swapfile(64)]
    machine = vl.Machine(
        vl.Dram(64), None, vl.Zswap(max_bytes=4096), files, "none",
        kernel=vl.Kernel("6.12"), tiers={"fast": (1, 9)}, tiers_max={"fast": 0},
    )  # fmt: skip

    assert again(machine) == machine


def test_machine_code__breaks_lines_that_are_long() -> None:
    assert max(map(len, vl.machine_code(vl.preset("cram-writable", 5000)).splitlines())) <= 100


def test_machine_code__refuses_what_is_no_machine() -> None:
    with pytest.raises(vl.InputError, match="got 3: make one"):
        vl.machine_code(3)  # type: ignore[arg-type]


shares = st.floats(0, 1).filter(math.isfinite)
drams = st.builds(vl.Dram, st.integers(100, 999), st.none() | st.integers(1, 9999), st.integers(0, 9),
                  st.none() | st.integers(10, 99), st.sampled_from(["memcg", "host"]))  # fmt: skip


@st.composite
def crams(pick: st.DrawFn) -> vl.Cram:
    opens, closes = sorted((pick(shares), pick(shares)))
    media = pick(st.integers(1 << 16, 1 << 22))
    return vl.Cram(
        media,
        pick(st.sampled_from(["ocp-spec", "rst", "none"])),
        pick(st.none() | st.integers(media, 1 << 24)),
        writable_budget_pages=pick(st.integers(0, 9)),
        close_at=closes,
        open_at=opens,
        report_lag=pick(st.integers(0, 99)),
        balloon=pick(st.booleans()),
    )


machines = st.builds(
    vl.Machine,
    drams,
    st.none() | crams(),
    st.none() | st.builds(vl.Zswap, st.sampled_from(["lz4", "zstd"]), st.integers(0, 100), st.integers(0, 100)),
    st.lists(st.builds(vl.Swapfile, st.integers(1, 999), st.integers(-3, 3)), max_size=3),
    st.sampled_from(["none", "vswap", "swap-table"]),
    st.builds(vl.Costs, st.integers(0, 500), cram_loaded=st.booleans()),
    st.none() | st.integers(0, 99),
)


@given(machines)
@settings(max_examples=60, deadline=None)
def test_machine_code__of_any_machine_makes_the_machine(machine: vl.Machine) -> None:
    assert again(machine).to_dict() == machine.to_dict()
