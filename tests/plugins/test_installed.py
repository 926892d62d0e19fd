"""A package of plug-ins, one of each kind, installed as pip leaves it: found by its entry points, used by its names."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import vswaplab as vl

MODULE = '''
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import vswaplab as vl
from vswaplab.engine.reference.policies import Lru

profiles = Path(__file__).with_name("extra_profiles.toml")


def runs_of_bytes(pages):
    """Two bytes for each run of equal bytes."""
    runs = 1 + (pages[:, 1:] != pages[:, :-1]).sum(axis=1)
    return np.clip(2 * runs, 1, 4096)


class Mru(Lru):
    """The page touched last leaves."""

    title = "MRU"

    def next_victim(self):
        page, _ = self.pages.popitem(last=True)
        return page

    def __iter__(self):
        return reversed(self.pages)


@dataclass(frozen=True)
class Far(vl.Store):
    """Another host's memory."""

    name = "far"
    store_ns: int = 2_000
    load_ns: int = 3_000

    def stored_bytes(self, contents):
        return np.full(len(contents), 4096)
'''

PROFILE = """
[[profile]]
name = "rle-device"
kind = "cram"
title = "A device that stores runs of bytes"
algorithm = "run lengths"
granule_bytes = 4096
size_column = "runs_4k"
rounding_bytes = 64
metadata_bytes = 0
read_ns = 300
read_loaded_ns = 900
write_ns = 600
store_ns = 600
load_ns = 530
advertised_ratio = 2.0
ratio_kind = "none"
tag = "guess"
source = "made up"
date = "2026-11-26"
guesses = "all of it"

[[profile]]
name = "rle"
kind = "compressor"
title = "Run lengths in software"
algorithm = "run lengths"
granule_bytes = 4096
size_column = "runs_4k"
rounding_bytes = 1
metadata_bytes = 0
read_ns = 2000
read_loaded_ns = 2000
write_ns = 1000
store_ns = 1000
load_ns = 2000
advertised_ratio = 1.0
ratio_kind = "none"
tag = "guess"
source = "made up"
date = "2026-11-26"
guesses = "all of it"
"""

ENTRY_POINTS = """
[vswaplab.profiles]
extra = extra_plugins:profiles

[vswaplab.codecs]
runs_4k = extra_plugins:runs_of_bytes

[vswaplab.policies]
mru = extra_plugins:Mru

[vswaplab.stores]
far = extra_plugins:Far
"""

MACHINE = """
[dram]
capacity_pages = 40
high = 1
policy = "mru"

[cram]
media_bytes = 40960
profile = "rle-device"

[zswap]
compressor = "rle"

[[stores]]
kind = "far"
capacity_bytes = "64KiB"

[[swapfiles]]
capacity_slots = 500
"""

PROGRAM = """
import json, sys
import numpy as np
import polars as pl
import vswaplab as vl
from vswaplab.contents.sizes import plugged
from vswaplab.base.plugins import find_plugin
from vswaplab.machine.presets import load_machine

pages = np.repeat(np.arange(200, dtype=np.uint8), 4096).reshape(-1, 4096)
pages[::2, :3000] = np.random.default_rng(1).integers(0, 256, (100, 3000), dtype=np.uint8)
column = plugged("runs_4k", find_plugin("codec", "runs_4k"))(pages)
corpus = vl.Corpus(pl.DataFrame({"runs_4k": column}))
trace = vl.uniform(n_pages=200, n_accesses=4000, write_share=0.5, corpus=corpus)
machine = load_machine(sys.argv[1])
runs = [vl.simulate(trace, machine, engine=engine).totals for engine in ("reference", "vectorised")]
print(json.dumps({
    "sizes": sorted({int(n) for n in column})[:2], "profiles": vl.profiles()["name"].to_list()[-2:],
    "totals": runs[0], "agree": runs[0] == runs[1],
    "machine": vl.machine_from_dict(machine.to_dict()).to_dict() == machine.to_dict(),
}))
"""


def install(folder: Path, entry_points: str = ENTRY_POINTS) -> Path:
    """Leave a package as pip does: the module, and a dist-info folder that names its entry points."""
    info = folder / "extra_plugins-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: extra-plugins\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)
    (folder / "extra_plugins.py").write_text(MODULE)
    (folder / "extra_profiles.toml").write_text(PROFILE)
    return folder


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = f"import sys; sys.path.insert(0, {str(folder)!r})\n"
    code, *rest = arguments
    return subprocess.run([sys.executable, "-c", program + code, *rest], capture_output=True, text=True, check=False)


@pytest.mark.slow  # each a fresh interpreter
def test_installed_plugins__of_every_kind_are_used_by_their_names(tmp_path):
    (tmp_path / "machine.toml").write_text(MACHINE)
    done = python(install(tmp_path / "site"), PROGRAM, str(tmp_path / "machine.toml"))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)

    assert found["profiles"] == ["rle-device", "rle"]
    assert found["sizes"][0] == 2  # one run
    assert found["agree"]
    assert found["machine"]
    totals = found["totals"]
    assert min(totals[name] for name in ("cram_in", "zswpin", "far_in", "far_out", "pswpin")) > 0
    assert totals["oom"] == 0


@pytest.mark.slow
def test_installed_plugins__a_broken_one_is_named_in_one_line(tmp_path):
    site = install(tmp_path, "[vswaplab.policies]\nbad = extra_plugins:Missing\n[vswaplab.profiles]\nbad = nowhere:x\n")
    code = "from vswaplab.cli import main\nraise SystemExit(main(['run', '--head', '10', '--set', 'dram.policy=bad']))"
    done = python(site, code)

    assert done.returncode == 2
    note, refusal = done.stderr.strip().splitlines()[-2:]
    assert "the plug-in 'bad' of the package extra-plugins cannot be loaded (ModuleNotFoundError" in note
    assert "the plug-in 'bad' of the package extra-plugins cannot be loaded (AttributeError" in refusal


def test_register__refuses_what_is_no_kind_or_no_name():
    with pytest.raises(vl.InputError, match="kind must be one of profiles, codec, policy, store, got 'tier'"):
        vl.register("tier", "x", None)
    with pytest.raises(vl.InputError, match="name must be lower-case letters"):
        vl.register("policy", "My policy", None)
