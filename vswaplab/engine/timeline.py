"""The events of a run: devices taken away between two accesses, and one row of what came of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields

import numpy as np
import polars as pl

from vswaplab.base.backing import State
from vswaplab.base.errors import InputError, shown
from vswaplab.engine.outcome import Drain, Engine, PageTable
from vswaplab.machine.config import Machine, Zram
from vswaplab.machine.layers import CLUSTER_SLOTS, metadata_bytes
from vswaplab.machine.swapoff import METHODS, Method, Swapoff, resolve, work_of
from vswaplab.trace.trace import Workload

_COLUMNS = {"at": pl.Int64, "event": pl.String, "device": pl.String, "method": pl.String} | dict.fromkeys(
    (
        "slots_in_use", "virtual_slots", "virtual_clusters", "address_space_pages", "mappers",
        *(f"visits_{method.replace('-', '_')}" for method in METHODS),
        *(f"scan_{method.replace('-', '_')}_ns" for method in METHODS),
        *(field.name for field in fields(Drain)), "reclaim_runs", "minor_faults_left", "virtual_slots_left",
        "metadata_left_bytes", "data_ns", "time_ns", "later_ns", "oom",
    ),
    pl.Int64,
)  # fmt: skip


class Timeline:
    """The events of a run, in order.

    Parameters
    ----------
    events : sequence of Swapoff
    machine : Machine
    trace : Trace or TraceFile

    Raises
    ------
    InputError
        Not an event, a device that the machine lacks or that goes twice, an
        access behind the end.
    """

    def __init__(self, events: Sequence[Swapoff], machine: Machine, trace: Workload) -> None:
        if not isinstance(events, Sequence) or not all(isinstance(event, Swapoff) for event in events):
            raise InputError(f"events must be a list of vl.swapoff(...), got {shown(events)}")
        self.machine, self.trace = machine, trace
        found = [(event, *resolve(event, machine)) for event in events]
        self.waiting = sorted(found, key=lambda entry: entry[0].at)
        self.rows: list[dict[str, object]] = []
        devices = [device for _, device, _ in found]
        if len(set(devices)) < len(devices):
            raise InputError("events take one device away twice: name each device once")
        late = next((event for event in events if event.at > len(trace)), None)
        if late is not None:
            raise InputError(f"{late} is after the end of the trace: choose an access from 0 to {len(trace)}")

    @property
    def next_at(self) -> int:
        """Access before which the next event comes; behind the end if there is none."""
        return self.waiting[0][0].at if self.waiting else len(self.trace) + 1

    def apply(self, runner: Engine, at: int, stop: int) -> None:
        """Carry out what comes before access ``at`` of a window that ends at ``stop``.

        An event belongs to the window of the access it comes before; the last
        window has those at the end of the trace too.
        """
        while self.waiting and self.next_at == at and (at < stop or stop == len(self.trace)):
            if runner.count["oom"]:
                return
            event, device, method = self.waiting.pop(0)
            self.rows.append(self._take_away(runner, event, device, method))

    def _take_away(self, runner: Engine, event: Swapoff, device: int | None, method: Method) -> dict[str, object]:
        table = runner.page_table(is_ranked=False)
        row, was_cache_only = self._survey(table, device), table.cache_only.copy()
        was_held = (table.slot == device) & (table.state == State.RESIDENT)
        before = runner.count["reclaim_runs"]
        maps = method == "page-table"
        drain = runner.remove_cram(maps=maps) if device is None else runner.swapoff(device, maps=maps)
        data_ns = self._data_ns(drain, device)
        scan_ns = row[f"scan_{method.replace('-', '_')}_ns"]
        name = event.device if isinstance(event.device, str) else f"swapfile {event.device}"
        after = runner.page_table(is_ranked=False)  # a reclaim meanwhile may have taken some out again
        cache_only = int(np.count_nonzero(after.cache_only & ~was_cache_only))
        is_unbacked = was_held & (after.state == State.RESIDENT) & (after.slot < 0)
        left = (int(np.count_nonzero(is_unbacked)) if row["virtual_clusters"] else 0) + cache_only
        return {
            "at": event.at, "event": "swapoff", "device": name, "method": method, **row,
            **asdict(drain), "store_loaded": sum(drain.store_loaded),
            "reclaim_runs": runner.count["reclaim_runs"] - before,
            "minor_faults_left": cache_only,
            "virtual_slots_left": left,
            "metadata_left_bytes": self._metadata_bytes(left),
            "data_ns": data_ns,
            "time_ns": data_ns + scan_ns,
            "later_ns": cache_only * self.machine.costs.fault_ns,
            "oom": runner.count["oom"],
        }  # fmt: skip

    def _survey(self, table: PageTable, device: int | None) -> dict[str, int]:
        # What is there to be visited just before the device goes, and what each way of visiting it would take.
        in_cram = table.state >= State.CRAM_SOFTLEAF
        is_tier = self.machine.cram is not None and self.machine.cram.mode == "tier"
        swapped = (table.state > State.RESIDENT) & ~(in_cram & is_tier) | table.cache_only
        swapped |= table.slot >= 0  # a resident page with a copy keeps its name
        clusters = np.unique(np.flatnonzero(swapped) // CLUSTER_SLOTS).size if self.machine.layer != "none" else 0
        held = table.slot == device
        found = {
            "slots_in_use": int(np.count_nonzero(in_cram if device is None else held)),
            "virtual_slots": int(np.count_nonzero(swapped)) if clusters else 0,
            "address_space_pages": self.trace.n_pages,
            "mappers": int(np.bitwise_or.reduce(table.mappers)).bit_count(),
        }
        visited = found | {"virtual_slots": clusters * CLUSTER_SLOTS}
        work = work_of(*(np.array([size], np.int64) for size in visited.values()), costs=self.machine.costs)
        for method, visits, scan_ns in work.select("method", "visits", "scan_ns").iter_rows():
            name = method.replace("-", "_")
            found |= {f"visits_{name}": visits, f"scan_{name}_ns": scan_ns}
        return found | {"virtual_clusters": clusters}

    def _data_ns(self, drain: Drain, device: int | None) -> int:
        machine, costs = self.machine, self.machine.costs
        total = drain.zero_loaded * costs.zero_fill_ns
        total += sum(n * store.load_ns for n, store in zip(drain.store_loaded, machine.stores, strict=False))
        if machine.cram is not None:
            total += (drain.cram_loaded + drain.written_back) * machine.cram.device.load_ns
        total += drain.zswap_loaded * (machine.zswap.profile.load_ns if machine.zswap is not None else 0)
        loader = machine.swap_devices[device] if device is not None else None
        if isinstance(loader, Zram):
            second = loader.second_profile or loader.profile
            first_loaded = drain.pages_loaded - drain.zswap_loaded - drain.recompressed_loaded
            total += first_loaded * loader.profile.load_ns + drain.recompressed_loaded * second.load_ns
            total += drain.pages_read * loader.backing_read_ns
        elif loader is not None:
            total += drain.pages_read * (loader.read_ns + loader.transfer_ns)
        return total

    def _metadata_bytes(self, n_slots: int) -> int:
        # What names that have only a folio behind them keep, in the newest design of the machine's layer.
        design = {"vswap": "v6", "swap-table": "swap-table-edition"}.get(self.machine.layer)
        return metadata_bytes(design, capacity_slots=0, zero=n_slots) if design and n_slots else 0

    def table(self) -> pl.DataFrame:
        """Give one row per event that took place."""
        return pl.DataFrame(self.rows, schema=_COLUMNS)
