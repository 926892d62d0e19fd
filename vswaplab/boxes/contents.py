"""What a pool says of its pages: how well they compress, and made-up contents that compress as well."""

from __future__ import annotations

from dataclasses import dataclass

from vswaplab.base.errors import InputError
from vswaplab.base.units import PAGE_SIZE
from vswaplab.boxes.box import Box, whole
from vswaplab.machine.profiles import find_profile
from vswaplab.trace.corpus import Corpus, synthetic_corpus

MM_STAT = ("orig_data_size", "compr_data_size", "mem_used_total", "mem_limit", "mem_used_max", "same_pages",
           "pages_compacted", "huge_pages", "huge_pages_since")  # fmt: skip
"""Fields of a zram device's mm_stat, in order (Documentation/admin-guide/blockdev/zram.rst); older kernels have 7."""

_FEWEST_FIELDS = 7
_STEPS = 40  # of a bisection


@dataclass(frozen=True)
class PoolContents:
    """Pages in a compressed pool, as the kernel counted them.

    Parameters
    ----------
    source
        The file.
    pages
        Stored, same-filled ones included.
    stored_bytes : bytes
        Of their compressed copies; None: not told (zswap tells only the pool).
    pool_bytes : bytes
        What the allocator takes for them.
    same_filled_pages
        One word repeated: they cost no data.
    incompressible_pages
        Kept as they are, 4096 bytes each.
    """

    source: str
    pages: int
    stored_bytes: int | None
    pool_bytes: int
    same_filled_pages: int = 0
    incompressible_pages: int = 0

    @property
    def total_ratio(self) -> float | None:
        """All bytes of the pages over those of their compressed copies."""
        return self.pages * PAGE_SIZE / self.stored_bytes if self.stored_bytes else None

    @property
    def pool_ratio(self) -> float:
        """All bytes of the pages over what the allocator takes."""
        return self.pages * PAGE_SIZE / self.pool_bytes

    @property
    def allocator_overhead(self) -> float | None:
        """What the allocator takes beyond the compressed copies, as a share of them."""
        return self.pool_bytes / self.stored_bytes - 1 if self.stored_bytes else None

    @property
    def same_filled(self) -> float:
        """Share of the pages."""
        return self.same_filled_pages / self.pages

    @property
    def incompressible(self) -> float:
        """Share of the pages."""
        return self.incompressible_pages / self.pages

    @property
    def compressible_ratio(self) -> float:
        """Total ratio of the pages that are neither same-filled nor incompressible.

        Of zswap, which tells the pool alone, the allocator's overhead is in it.
        """
        rest = self.pages - self.same_filled_pages - self.incompressible_pages
        size = (self.stored_bytes or self.pool_bytes) - self.incompressible_pages * PAGE_SIZE
        return max(1.0, rest * PAGE_SIZE / size) if rest > 0 and size > 0 else 1.0

    def corpus(self, compressor: str, *, n_regions: int = 64, seed: int = 0) -> Corpus:
        """Make up contents with these shares, and this total ratio under a compressor.

        How single pages and neighbours differ no counter tells: spread and
        correlation are ``synthetic_corpus``'s defaults [guess]. For more,
        measure the pages themselves (``vl.measure``).

        Parameters
        ----------
        compressor
            Name of the profile that the pool uses.
        n_regions, seed
            As in ``synthetic_corpus``.
        """
        column = find_profile(compressor, "compressor").size_column

        def made(ratio: float) -> Corpus:
            return synthetic_corpus(
                n_regions=n_regions,
                ratio=ratio,
                p_zero=self.same_filled,
                p_incompressible=min(self.incompressible, 1 - self.same_filled),
                seed=seed,
            )

        low, high = 1.0, 64.0
        for _ in range(_STEPS):
            middle = (low * high) ** 0.5
            low, high = (middle, high) if _ratio(made(middle), column) < self.compressible_ratio else (low, middle)
        return made(high)


def _ratio(corpus: Corpus, column: str) -> float:
    size = corpus.sizes(column)[~corpus.is_zero]
    size = size[size < PAGE_SIZE]
    return float(PAGE_SIZE / size.mean()) if size.size else 1.0


def mm_stat(where: str, text: str) -> dict[str, int]:
    """Read a zram device's mm_stat.

    Raises
    ------
    InputError
        It has too few fields, or numbers that cannot be.

    Examples
    --------
    >>> mm_stat("mm_stat", "8192 3000 8192 0 8192 1 0")["same_pages"]
    1
    """
    words = text.split()
    if len(words) < _FEWEST_FIELDS:
        raise InputError(f"{where} has {len(words)} numbers: expected {', '.join(MM_STAT)}; copy the file again")
    found = {name: whole(f"{where} {name}", word) for name, word in zip(MM_STAT, words, strict=False)}
    pages = found["orig_data_size"] // PAGE_SIZE
    rest = found["same_pages"] + found.get("huge_pages", 0)
    if found["orig_data_size"] % PAGE_SIZE or rest > pages or found["compr_data_size"] > found["mem_used_total"]:
        raise InputError(f"{where} does not add up: {' '.join(words)[:120]!r}; copy the file again")
    return found


def zram_contents(where: str, stat: dict[str, int]) -> PoolContents | None:
    """Say what is in a zram device; None: nothing."""
    if not stat["orig_data_size"] or not stat["mem_used_total"]:
        return None
    return PoolContents(
        where,
        stat["orig_data_size"] // PAGE_SIZE,
        stat["compr_data_size"],
        stat["mem_used_total"],
        stat["same_pages"],
        stat.get("huge_pages", 0),
    )


def zswap_contents(box: Box, meminfo: dict[str, int], group: str | None) -> PoolContents | None:
    """Say what is in zswap: of a group by memory.stat, else by debugfs or /proc/meminfo; None: nothing, or unknown."""
    debugfs = "sys/kernel/debug/zswap"
    found: tuple[str, int | None, int | None]
    if group is not None:
        stat = box.table(f"{group}/memory.stat", ("zswap", "zswapped"))
        found = f"/{group}/memory.stat", stat.get("zswapped"), stat.get("zswap")
    else:
        pages, pool = box.number(f"{debugfs}/stored_pages"), box.number(f"{debugfs}/pool_total_size")
        found = f"/{debugfs}", None if pages is None else pages * PAGE_SIZE, pool
        if None in found:
            kib = [meminfo.get(name) for name in ("Zswapped", "Zswap")]
            original, pool = (None if n is None else n * 1024 for n in kib)
            found = "/proc/meminfo Zswapped, Zswap", original, pool
    where, original, pool = found
    if not original or not pool:
        return None
    n_pages = original // PAGE_SIZE
    names = ("same_filled_pages", "stored_incompressible_pages")
    same, raw = (0 if group is not None else box.number(f"{debugfs}/{name}") or 0 for name in names)
    if same + raw > n_pages:
        raise InputError(
            f"{where}: {same} same-filled and {raw} incompressible of {n_pages} pages; copy the files again"
        )
    return PoolContents(where, n_pages, None, pool, same, raw)
