"""Every reader of a file that somebody may hand us, with a whole file of its kind to damage.

A reader may answer, or refuse with ``InputError``; anything else is a hole.
"""

from __future__ import annotations

import gzip
import random
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import vswaplab as vl
from tests.boxes.test_calibrate import BOX as _BOX
from tests.boxes.test_calibrate import FILLED
from tests.images.conftest import core_bytes
from vswaplab.base.errors import InputError
from vswaplab.cli.sweep import read_grid
from vswaplab.images.sources import open_core
from vswaplab.images.stretches import chunks
from vswaplab.machine.presets import load_machine
from vswaplab.machine.profiles import load_profiles

DATA = Path(__file__).resolve().parents[2] / "data"
SAMPLES = DATA.parent / "tests" / "trace" / "samples"
TRACE = vl.zipf(n_pages=60, n_accesses=400, seed=1, corpus=vl.synthetic_corpus(seed=1), redraw_probability=0.5)
MACHINE = """[dram]
capacity_pages = 64
[cram]
media_bytes = 262144
[zswap]
max_pool_percent = 20
[[swapfiles]]
capacity_slots = 900
"""
BOX = _BOX | {"sys/block/zram0/mm_stat": FILLED}
SWEEP = """trace = "trace.parquet"
seeds = [0, 1]
[settings]
"dram.capacity_pages" = [64, 128]
"zswap.max_pool_percent" = [10, 30]
"""


@dataclass(frozen=True)
class Reader:
    """One kind of file.

    Parameters
    ----------
    make : callable
        Writes whole files into a folder.
    damaged : str
        Which of them is damaged, relative to it.
    read : callable
        Reads from the folder, as far as a user's command would.
    """

    make: Callable[[Path], object]
    damaged: str
    read: Callable[[Path], object]

    @property
    def whole(self) -> bytes:
        """The file before it is damaged."""
        return _whole(self)

    def survives(self, data: bytes) -> bool:
        """Read the file with other bytes in it; whether it was accepted. Only InputError may come out."""
        with _folder(self) as folder:
            (folder / self.damaged).write_bytes(data)
            try:
                self.read(folder)
            except InputError as error:
                refusal = str(error)
            else:
                return True
        assert "\n" not in refusal, "an error must be one line"
        return False


@cache
def _made(reader: Reader) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="vswaplab-fuzz-"))
    reader.make(folder)
    return folder


@cache
def _whole(reader: Reader) -> bytes:
    return (_made(reader) / reader.damaged).read_bytes()


@contextmanager
def _folder(reader: Reader) -> Iterator[Path]:
    # The folder is made once; the damaged file alone is put back, so that a thousand runs take seconds.
    folder = _made(reader)
    try:
        yield folder
    finally:
        (folder / reader.damaged).write_bytes(_whole(reader))


def _trace(folder: Path) -> None:
    (folder / "traces").mkdir()
    (folder / "corpus").mkdir()
    vl.save_trace(TRACE.like(corpus=None, content=None), folder / "traces" / "one.parquet")  # those beside it count
    shutil.copyfile(DATA / "corpus" / "redis.parquet", folder / "corpus" / "one.parquet")


def _stream(folder: Path) -> None:
    trace = vl.open_trace(folder / "traces" / "one.parquet", piece_accesses=100)
    vl.simulate(trace, vl.preset("four-tiers", 60))


def _sweep(folder: Path) -> object:
    return read_grid(folder / "grid.toml")


def _make_sweep(folder: Path) -> None:
    vl.save_trace(TRACE, folder / "trace.parquet")
    (folder / "grid.toml").write_text(SWEEP)


def _machine(folder: Path) -> object:
    return load_machine(folder / "machine.toml")


def _profiles(folder: Path) -> object:
    return load_profiles(folder / "profiles.toml")


def _result(folder: Path) -> None:
    vl.simulate(TRACE, vl.preset("four-tiers", 60)).save(folder / "run")


def _truth(folder: Path) -> None:
    for file in (DATA / "truth" / "kernel").iterdir():
        shutil.copyfile(file, folder / file.name)


def _core(folder: Path) -> object:
    segments = [(4096 * 9, 6, b"page" * 1024), (4096 * 2, 6, bytes(8192)), (4096 * 5, 4, b"text" * 1024)]
    return (folder / "core").write_bytes(core_bytes(segments))


def _read_core(folder: Path) -> int:
    with open_core(folder / "core") as image:
        kept = image.stretches.sample(1 << 12)
        return sum(len(chunk.pages) for chunk in chunks(image.stretches, kept, image.read, 64))


def _box(file: str) -> Reader:
    def make(folder: Path) -> None:
        for name, text in BOX.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)

    return Reader(make, file, _calibrate)


def _calibrate(folder: Path) -> None:
    for group in (None, "web"):
        found = vl.calibrate(folder, cgroup=group)
        assert vl.machine_from_dict(tomllib.loads(found.toml("box"))) == found.machine


_BOX_FILES = ("proc/meminfo", "proc/zoneinfo", "proc/swaps", "proc/vmstat", "proc/pressure/memory",
              "sys/block/zram0/mm_stat", "sys/module/zswap/parameters/max_pool_percent")  # fmt: skip


def _import(sample: str, *, unpacked: bool = False) -> Reader:
    """Import a sample of another program; a compressed one is damaged as it is, or the text in it."""

    def make(folder: Path) -> None:
        data = (SAMPLES / sample).read_bytes()
        (folder / sample).write_bytes(gzip.decompress(data)[:20_000].rpartition(b"\n")[0] if unpacked else data)

    def read(folder: Path) -> object:
        return vl.import_trace(folder / sample, folder / "imported.parquet", max_accesses=1 << 18)

    return Reader(make, sample, read)


def _table(name: str, write: Callable[[Path], object]) -> Reader:
    return Reader(lambda f: write(f / name), name, lambda f: vl.import_trace(f / name, f / "imported.parquet"))


def _oracle(path: Path) -> object:
    return vl.export_trace(TRACE, path, "oracle-general")


_IMPORTS = ("bpftrace.txt.gz", "damon-tracepoint.txt", "trace-cmd.txt", "perf.txt", "vscsi.csv")

READERS: dict[str, Reader] = {
    "trace": Reader(_trace, "traces/one.parquet", lambda f: vl.load_trace(f / "traces" / "one.parquet")),
    "trace streamed": Reader(_trace, "traces/one.parquet", _stream),
    "trace with contents": Reader(
        lambda f: vl.save_trace(TRACE, f / "one.parquet"), "one.parquet", lambda f: vl.load_trace(f / "one.parquet")
    ),
    "corpus": Reader(_trace, "corpus/one.parquet", lambda f: vl.load_trace(f / "traces" / "one.parquet")),
    "machine": Reader(lambda f: (f / "machine.toml").write_text(MACHINE), "machine.toml", _machine),
    "profiles": Reader(
        lambda f: shutil.copyfile(DATA / "profiles.toml", f / "profiles.toml"), "profiles.toml", _profiles
    ),
    "sweep": Reader(_make_sweep, "grid.toml", _sweep),
    "costs": Reader(
        lambda f: (f / "costs.toml").write_text("[costs]\nfault_ns = 900\n"),
        "costs.toml",
        lambda f: vl.load_costs(f / "costs.toml"),
    ),
    "prices": Reader(
        lambda f: shutil.copyfile(DATA / "prices.toml", f / "prices.toml"),
        "prices.toml",
        lambda f: vl.cost_usd(vl.preset("four-tiers", 100), vl.prices(f / "prices.toml")),
    ),
    "contents": Reader(_trace, "corpus/one.parquet", lambda f: vl.load_contents(f / "corpus" / "one.parquet").corpus),
    "core": Reader(_core, "core", _read_core),
    **{f"box: {file}": _box(file) for file in _BOX_FILES},
    "result: provenance": Reader(_result, "run/provenance.json", lambda f: vl.load_result(f / "run")),
    "result: totals": Reader(_result, "run/totals.json", lambda f: vl.load_result(f / "run")),
    "result: epochs": Reader(_result, "run/epochs.parquet", lambda f: vl.load_result(f / "run")),
    "truth: runs": Reader(_truth, "runs.json", vl.read_truth),
    "truth: epochs": Reader(_truth, "epochs.csv", vl.read_truth),
    "truth: outcomes": Reader(_truth, "outcomes.npz", vl.read_truth),
    "truth: noise": Reader(_truth, "noise.csv", vl.read_truth),
    "truth: calibration": Reader(_truth, "calibration.csv", vl.read_truth),
    **{f"import: {sample}": _import(sample) for sample in _IMPORTS},
    "import: lackey": _import("lackey.txt.gz", unpacked=True),
    "import: blkparse": _import("blkparse.txt.gz", unpacked=True),
    "import: oracleGeneral": _table("in.bin", _oracle),
    "import: parquet": _table("in.parquet", lambda path: vl.save_trace(TRACE, path)),
}

_WORDS = (
    b"NaN", b"-1", b"1e400", b"99999999999999999999", b"-0.0", b"0", b"null", b"true", b'"', b"[", b"]", b"{", b"}",
    b"\n", b",", b"=", b"\xff\xfe", b"\x00", b"<script>alert(1)</script>", b"../../etc/passwd", b"\xf0\x9f\xa6\x8a",
)  # fmt: skip
_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)


def damage(data: bytes, rng: random.Random) -> bytes:
    """Change a file as accidents and attackers do: cut, flip, overwrite, drop, repeat, put in what hurts."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        _change(changed, rng)
    return bytes(changed)


def _change(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data) + 1)
    end = min(len(data), at + rng.choice((1, 2, 4, 8, 64, 1024)))
    kind = rng.randrange(7)
    if kind == 0:
        del data[at:]
    elif kind == 1 and at < len(data):
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 2:
        size = rng.choice((1, 2, 4, 8))
        number = rng.choice(_NUMBERS) & (2 ** (8 * size) - 1)
        data[at : at + size] = number.to_bytes(size, rng.choice(("little", "big")))
    elif kind == 3:
        del data[at:end]
    elif kind == 4:
        data[at:at] = data[at:end] * rng.choice((1, 2, 50))
    elif kind == 5:
        data[at : at + rng.randrange(6)] = rng.choice(_WORDS)
    else:
        data[at:at] = rng.randbytes(rng.choice((1, 4, 64)))
