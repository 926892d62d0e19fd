"""What a guest of boot.py is set to: one table of names for the command line, matrix files and runs.json."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

MIB = 1 << 20
PAGE = 4096
CLASSES_MOST = 8
SNAPSHOTS_MOST = 400
COMPRESSORS = ("lzo", "lzo-rle", "lz4", "lz4hc", "zstd", "deflate", "842")

Value = str | int | bool


class SetupError(Exception):
    """Something that a user can put right, told in one line."""


@dataclass(frozen=True)
class Settings:
    """One configuration; ``WORDS`` says what each setting is. ``name`` is the folder's ``config``."""

    name: str
    trace: str = "zipf"
    n_pages: int = 65_536
    n_acc: int = 300_000
    seed: int = 11
    write_pct: int = 30
    epoch: int = 15_000
    mix: str = "5:0,15:400,30:1200,35:2400,15:4096"
    seed_class: int = 101
    seed_content: int = 202
    memory_max_mib: int = 112
    zswap: bool = True
    compressor: str = "lzo"
    max_pool_percent: int = 20
    accept_threshold_percent: int = 90
    shrinker: bool = False
    zswap_max_mib: int = 0
    writeback: bool = True
    swappiness: int = 100
    page_cluster: int = 0
    lru_gen: int = 0
    guest_mib: int = 512
    swap_mib: int = 2048
    vcpus: int = 1
    repetitions: int = 1

    def __post_init__(self) -> None:
        for name, (least, most, _) in WORDS.items():
            value: object = getattr(self, name)
            kind = type(getattr(Settings, name))
            if type(value) is not kind:
                raise SetupError(f"run {self.name!r}: {name} must be of kind {kind.__name__}, got {value!r}")
            if isinstance(value, int) and kind is int and not least <= value <= most:
                raise SetupError(f"run {self.name!r}: {name} must be from {least} to {most}, got {value}")
        if not re.fullmatch(r"[A-Za-z0-9_-]+", self.name):
            raise SetupError(f"a run's name is made of letters, digits, _ and -, got {self.name!r}")
        if self.compressor not in COMPRESSORS:
            raise SetupError(
                f"run {self.name!r}: compressor must be one of {', '.join(COMPRESSORS)}, got {self.compressor!r}"
            )
        if self.n_acc > self.epoch * SNAPSHOTS_MOST:
            raise SetupError(
                f"run {self.name!r}: at most {SNAPSHOTS_MOST} snapshots: raise epoch to {self.n_acc // 400}"
            )
        classes_of(self.mix)


WORDS: dict[str, tuple[int, int, str]] = {
    "trace": (0, 0, "kind of trace: uniform, loop, zipf, hotscan or phases"),
    "n_pages": (10, 1 << 22, "pages of 4 KiB; all are written once, in order, before the accesses"),
    "n_acc": (8, 1 << 26, "accesses"),
    "seed": (0, 1 << 58, "of the trace"),
    "write_pct": (0, 100, "percent of the accesses that write"),
    "epoch": (1, 1 << 26, "accesses between two snapshots"),
    "mix": (0, 0, "content classes, PERCENT:BYTES each, at most 8: random bytes of a page, the rest is zero"),
    "seed_class": (0, 1 << 62, "of the class of each page"),
    "seed_content": (0, 1 << 62, "of the random bytes"),
    "memory_max_mib": (0, 1 << 20, "memory.max of the group, MiB; 0: no limit"),
    "zswap": (0, 0, "whether zswap is on"),
    "compressor": (0, 0, "zswap's: " + ", ".join(COMPRESSORS)),
    "max_pool_percent": (0, 100, "zswap's, of the guest's memory"),
    "accept_threshold_percent": (0, 100, "zswap's, of the pool limit"),
    "shrinker": (0, 0, "whether zswap's dynamic shrinker is on"),
    "zswap_max_mib": (0, 1 << 20, "memory.zswap.max of the group, MiB; 0: no limit"),
    "writeback": (0, 0, "memory.zswap.writeback of the group"),
    "swappiness": (0, 200, "vm.swappiness"),
    "page_cluster": (0, 10, "vm.page-cluster, log2 of the pages read ahead"),
    "lru_gen": (0, 7, "0: classic LRU; 7: MGLRU"),
    "guest_mib": (128, 1 << 20, "memory of the guest, MiB"),
    "swap_mib": (1, 1 << 20, "swap device, MiB; a sparse file"),
    "vcpus": (1, 64, "CPUs of the guest"),
    "repetitions": (1, 1000, "how often; noise.csv needs two"),
}
"""Setting: least, most (of whole numbers), and what it is."""


def classes_of(mix: str) -> list[tuple[int, int]]:
    """Read content classes.

    Returns
    -------
    classes : list
        Percent of the pages and random bytes of each.
    """
    pairs = [re.fullmatch(r"(\d+):(\d+)", part) for part in mix.split(",")]
    classes = [(int(pair[1]), int(pair[2])) for pair in pairs if pair]
    whole = len(classes) == len(pairs) <= CLASSES_MOST and sum(percent for percent, _ in classes) == 100
    if not whole or any(n > PAGE or n % 8 for _, n in classes):
        raise SetupError(
            f"mix must be up to {CLASSES_MOST} pairs PERCENT:BYTES with percentages that add up to 100 "
            f"and multiples of 8 bytes up to {PAGE}, got {mix!r}"
        )
    return classes


def read_matrix(file: Path) -> list[Settings]:
    """Read configurations from a TOML file: tables ``[[run]]``, and ``[defaults]`` for all of them."""
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SetupError(f"cannot read {file}: {error.strerror}") from None
    except ValueError as error:
        raise SetupError(f"{file} is not TOML: {error}") from None
    defaults, runs = document.pop("defaults", {}), document.pop("run", [])
    if document or not isinstance(defaults, dict) or not isinstance(runs, list) or not runs:
        raise SetupError(f"{file} must hold tables [[run]], one at least, and may hold [defaults]; nothing else")
    made = [settings_of({**defaults, **run}) for run in runs]
    names = [settings.name for settings in made]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SetupError(f"{file} has run {twice[0]!r} twice: say repetitions = 2, or name one otherwise")
    return made


def settings_of(table: Mapping[str, Value]) -> Settings:
    """Make settings of a table of values."""
    known = [each.name for each in fields(Settings)]
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise SetupError(f"no setting {unknown[0]!r}: there are {', '.join(known)}")
    if not isinstance(table.get("name"), str):
        raise SetupError("a run needs a name, such as zipf_mp20")
    return Settings(**table)  # type: ignore[arg-type]


def asked(settings: Settings) -> dict[str, object]:
    """Give what is asked for, in the words of runs.json; the kernel's own figures are not in there."""
    s = settings
    trace = {"kind": s.trace, "n_pages": s.n_pages, "n_acc": s.n_acc, "seed": s.seed, "write_pct": s.write_pct}
    mix = [{"cls": k, "percent": percent, "k_random_bytes": n} for k, (percent, n) in enumerate(classes_of(s.mix))]
    group = {
        "memory.max": s.memory_max_mib * MIB,
        "memory.zswap.max": s.zswap_max_mib * MIB or "max",
        "memory.zswap.writeback": int(s.writeback),
    }
    return {
        "guest_ram_mib": s.guest_mib,
        "vcpus": s.vcpus,
        "trace": trace,
        "epoch_accesses": s.epoch,
        "content": {"seed_class": s.seed_class, "seed_content": s.seed_content, "mix": mix},
        "zswap_enabled": s.zswap,
        "zswap_parameters": zswap_parameters(s) if s.zswap else None,
        "memcg": group if s.memory_max_mib else None,
        "swap_device_mib": s.swap_mib,
        "lru_gen": s.lru_gen,
        "swappiness": s.swappiness,
        "page_cluster": s.page_cluster,
    }


def zswap_parameters(settings: Settings) -> dict[str, str]:
    """Give zswap's parameters as the kernel shows them."""
    return {
        "accept_threshold_percent": str(settings.accept_threshold_percent),
        "compressor": settings.compressor,
        "enabled": _yes(settings.zswap),
        "max_pool_percent": str(settings.max_pool_percent),
        "shrinker_enabled": _yes(settings.shrinker),
    }


def environment(settings: Settings, mode: str, modules: list[str]) -> str:
    """Give the file that init reads: one ``export NAME='value'`` a line.

    Parameters
    ----------
    settings
    mode : {"replay", "calib"}
    modules : list of str
        File names, in the order to load them.
    """
    s = settings
    of_all: dict[str, Value] = {name.upper(): value for name, value in asdict(s).items()}
    of_all |= {name: _yes(bool(of_all[name])) for name in ("ZSWAP", "SHRINKER")}
    of_all |= {
        "MODE": mode,
        "MODULES": " ".join(modules),
        "SWAP": "/dev/vda",
        "REPORT": "/dev/vdb",
        "GROUP": "/sys/fs/cgroup/limited" if s.memory_max_mib and mode == "replay" else "",
        "MEMORY_MAX": s.memory_max_mib * MIB,
        "ZSWAP_MAX": s.zswap_max_mib * MIB or "max",
        "WRITEBACK": int(s.writeback),
    }
    return "".join(f"export {name}='{value}'\n" for name, value in of_all.items())


def _yes(is_on: bool) -> str:
    return "Y" if is_on else "N"
