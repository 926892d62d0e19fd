"""What runs in a process of its own: peak memory, a cold start, two simulations at once.

``python -m bench.child VERB ...`` with this folder's parent on ``PYTHONPATH``; answers are lines of JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import vswaplab as vl
from bench.streams import chain, make


def peak(path: str, n_pages: str) -> None:
    """Run a trace from its file; report the process's peak memory before and after, bytes."""
    before = peak_bytes()
    trace = vl.open_trace(path)
    start = time.perf_counter()
    totals = vl.simulate(trace, chain(int(n_pages))).totals
    spent_s = time.perf_counter() - start
    answer({"import_bytes": before, "peak_bytes": peak_bytes(), "touch_ns": spent_s * 1e9 / totals["accesses"]})


def slider(n_pages: str, n_touches: str, rounds: str) -> None:
    """Run one trace on machines of slowly growing DRAM; report each run to its finished tables, ms."""
    trace = make("zipf-1.0", int(n_pages), int(n_touches))
    spent_ms = []
    for k in range(int(rounds) + 1):
        machine = replace(chain(int(n_pages)), dram=vl.Dram(int(n_pages) * (16 + k) // 64))
        start = time.perf_counter()
        result = vl.simulate(trace, machine)
        _ = result.epochs, result.tiers, result.totals
        spent_ms.append(1e3 * (time.perf_counter() - start))
    answer({"run_ms": spent_ms})


def worker(n_pages: str, n_touches: str) -> None:
    """Say that a trace is ready, then run it once for every line on standard input."""
    trace, machine = make("zipf-1.0", int(n_pages), int(n_touches)), chain(int(n_pages))
    answer({"ready": True})
    for _ in sys.stdin:
        answer({"accesses": vl.simulate(trace, machine).totals["accesses"]})


def answer(found: dict[str, Any]) -> None:
    """Print one line of JSON at once."""
    print(json.dumps(found), flush=True)


def peak_bytes() -> int:
    """Read this process's peak resident memory (VmHWM), bytes; unlike getrusage's, not inherited from its parent."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


class Child:
    """A process that runs one of this module's verbs; waits until it is ready, and ends with the ``with`` block."""

    def __init__(self, *arguments: str) -> None:
        # -P and the path: the same two packages as in this process, whatever the working directory holds
        paths = [str(Path(file).resolve().parents[1]) for file in (__file__, vl.__file__)]
        path = os.pathsep.join([*paths, *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "bench.child", *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path},
        )  # fmt: skip

    def __enter__(self) -> Child:
        self.receive()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def send(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        """Wait for its next line."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a measured process ended early, exit code {self._process.wait()}")
        found: dict[str, Any] = json.loads(line)
        return found

    def close(self) -> None:
        """Let it end."""
        self._process.communicate()


def run_child(*arguments: str) -> dict[str, Any]:
    """Run a verb that answers once."""
    child = Child(*arguments)
    try:
        return child.receive()
    finally:
        child.close()


if __name__ == "__main__":
    {"peak": peak, "slider": slider, "worker": worker}[sys.argv[1]](*sys.argv[2:])
