"""Processes beside this one."""

from __future__ import annotations

import os
import signal

from vswaplab.base.workers import end_pool, new_pool


def test_new_pool__a_process_does_not_hear_ctrl_c() -> None:
    pool = new_pool(1)
    try:
        process = pool.submit(os.getpid).result()
        pool.submit(signal.raise_signal, signal.SIGINT).result()
        assert pool.submit(os.getpid).result() == process != os.getpid()
    finally:
        end_pool(pool)
