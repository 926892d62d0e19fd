"""Reclaim as Linux does it: active and inactive lists, charge batches, zspages, the zswap worker.

One function per kernel function, with its name; a comment names file and
version where it matters. ``lists`` and ``folios`` hold the state; then, each
building on the one before, ``memcg``, ``page_alloc``, ``cram``, ``zswap``,
``vmscan``, ``kswapd``, ``faults`` and ``swapoff``; ``machine`` serves a trace;
``mglru`` has generations in place of the lists. ``KernelReference`` takes one
access at a time, ``KernelVectorised`` all hits between two faults at once.
"""

from vswaplab.engine.kernel.machine import KernelReference, KernelVectorised
from vswaplab.engine.kernel.mglru import LruGenReference, LruGenVectorised
from vswaplab.engine.kernel.mglru73 import LruGen73Reference, LruGen73Vectorised
from vswaplab.engine.plan import Plan
from vswaplab.trace.trace import Workload

__all__ = ["KernelReference", "KernelVectorised", "kernel_reference", "kernel_vectorised"]


def kernel_reference(plan: Plan, trace: Workload) -> KernelReference:
    """Make the engine that takes one access at a time, with the lists that the machine has."""
    assert plan.kernel is not None
    engines = {None: KernelReference, "6.12": LruGenReference, "7.3": LruGen73Reference}
    return engines[plan.kernel.lru_gen](plan, trace)


def kernel_vectorised(plan: Plan, trace: Workload) -> KernelVectorised:
    """Make the engine that takes many accesses at once, with the lists that the machine has."""
    assert plan.kernel is not None
    engines = {None: KernelVectorised, "6.12": LruGenVectorised, "7.3": LruGen73Vectorised}
    return engines[plan.kernel.lru_gen](plan, trace)
