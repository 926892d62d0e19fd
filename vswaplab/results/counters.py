"""The counters of a run: one list, with what each counts.

Names are the kernel's where the kernel has one (``/proc/vmstat``,
``memory.stat``, debugfs ``zswap/``); the rest are ours. An access that is not
a free has exactly one outcome, so the counters of ``OUTCOMES`` add up to
``accesses - frees``; where a kernel reads ahead (``Swapfile.page_cluster``)
``swpin_zero``, ``zswpin`` and ``pswpin`` count those pages too, each time one is
read.
"""

from __future__ import annotations

OUTCOMES: dict[str, str] = {
    "dram_hit": "accesses to a resident page",
    "first_touch": "faults on a page that was never touched or was freed",
    "swpin_zero": "faults on an all-zero page that had no stored copy",
    "zswpin": "pages loaded from zswap",
    "pswpin": "pages read from a swap device, zram included",
    "cram_soft_fault": "reads of a CRAM page through its swap entry: mapped read-only in place",
    "cram_read": "reads served by a mapped CRAM page, no fault",
    "cram_write": "writes served by a writable CRAM page, no fault",
    "cram_made_writable": "write faults that made a CRAM page writable in place (budget)",
    "cram_promote": "write faults that moved a CRAM page to DRAM",
    "copy_on_write": "writes to a page with other mappers: the writer got a page of its own",
    "sigbus": "accesses to a poisoned page: nothing served",
}
"""The outcomes of an access that is not a free."""

COUNTERS: dict[str, str] = {
    "accesses": "records of the trace processed (reads, writes and frees)",
    "reads": "read records",
    "writes": "write records",
    "frees": "free records",
    **OUTCOMES,
    "swpout_zero": "victims found all zero: no copy stored",
    "zswpout": "pages stored in zswap",
    "zswpout_bytes": "compressed bytes of the pages stored in zswap",
    "zswpwb": "zswap entries written back to a swapfile",
    "pswpout": "pages written to a swap device, writeback and zram included",
    "clean_drop": "victims dropped for free: their swapfile copy was valid",
    "pool_limit_hit": "zswap stores attempted with the pool at or above its limit",
    "reject_accept_threshold": "zswap stores refused below the limit, still full by hysteresis",
    "reject_compress_poor": "pages zswap refused because they do not compress",
    "reject_alloc_fail": "zswap stores that found no memory (not modelled: 0)",
    "reclaim_runs": "reclaims run",
    "reclaim_fail": "victims that found room nowhere and stayed where they were",
    "oom": "1 if the run ended because no frame could be freed",
    "cram_in": "pages demoted to CRAM",
    "cram_in_bytes": "bytes those pages took on the device",
    "cram_writeback_zero": "CRAM pages that left as all-zero pages",
    "cram_writeback_zswap": "CRAM pages moved to zswap by the kernel",
    "cram_writeback_swapfile": "CRAM pages moved to a swapfile by the kernel",
    "cram_refused": "victims CRAM refused: no media left for them",
    "cram_refused_gate": "victims CRAM refused: gate closed",
    "cram_refused_full": "victims CRAM refused: no free device page",
    "gate_closed_intervals": "times the admission gate closed",
    "poison": "writes in place that overran the media: data lost",
    "zombies": "writable CRAM pages freed unseen",
    "reaped": "zombies found by the reaper",
    "flushes": "periodic flushes that gave freed device bytes back",
    "trims": "TRIM commands those flushes took, one a batch of pages",
    "zram_read": "pages loaded from zram, decompressed by its first compressor",
    "zram_read_recompressed": "pages loaded from zram, decompressed by its second compressor",
    "zram_huge": "pages zram stored raw, because they do not compress",
    "zram_bytes": "bytes of the pages stored in zram",
    "zram_failed_writes": "pages zram refused at its memory limit",
    "zram_recompressed": "idle pages that the second compressor made smaller",
    "zram_bd_writes": "pages zram wrote back to its backing device",
    "zram_bd_reads": "pages loaded from that device",
    "minor_fault": "first touches of a resident page by a further mapper",
    "swap_cache": "accesses to a resident page that only the swap cache knew, after a swapoff or (`Machine.kernel`) "
    "while it is written out: a minor fault",
    "cram_writeback_multi_state": "CRAM pages moved while some of their mappers had them mapped and some not",
    "rmap_walks": "reverse-map walks: one for each CRAM page moved whose page-table entries must change",
    "pte_changed": "page-table entries unmapped for that; without a layer swap entries rewritten too",
    "pte_unchanged": "swap entries that stayed valid meanwhile, because they name a virtual slot",
    "pte_scanned": "page-table entries a machine without a reverse map would have had to look at",
    "swapin_readahead": "pages read ahead of a fault of their own (swap_ra in /proc/vmstat; `page_cluster`)",
    "swapin_readahead_disk": "those of them that came from a swapfile",
    "swapin_readahead_zswap": "those of them that were decompressed out of zswap",
    "swapin_readahead_zero": "those of them that were all zero",
    "swapin_readahead_hit": "faults on pages read ahead, or on their way out: the bit is the same (swap_ra_hit)",
    "pgscan": "inactive pages that reclaim looked at (`Machine.kernel` only, as the next four)",
    "pgsteal": "pages that reclaim freed",
    "pgactivate": "inactive pages that reclaim found in use and made active",
    "pgdeactivate": "active pages that reclaim made inactive",
    "workingset_refault_anon": "pages that came back after reclaim had taken them",
    "workingset_activate_anon": "those of them that were away so shortly that they became active at once",
    "repeat_dram": "dropped repeat touches of a page that lay in DRAM",
    "repeat_cram_read": "dropped repeat reads of a page that lay in CRAM: device reads",
    "repeat_cram_write": "dropped repeat writes of a page that lay in CRAM: device writes",
    "repeat_unserved": "dropped repeat touches that followed a sigbus or a free",
}
"""Counter name to what it counts; the order of every table."""

TIMES: dict[str, str] = {
    "stall_ns": "time the accesses waited, by the cost table",
    "cpu_ns": "CPU time of faults and reclaim, by the cost table",
}
"""Derived from the counters by the cost table."""

COUNTER_NAMES: tuple[str, ...] = tuple(COUNTERS)
