"""Reclaim as Linux does it: active and inactive lists, charge batches, zspages, the zswap worker.

One function per kernel function, with its name; a comment names file and
version where it matters. ``lists`` and ``folios`` hold the state; then, each
building on the one before, ``memcg``, ``zswap``, ``vmscan`` and ``faults``;
``machine`` serves a trace. ``KernelReference`` takes one access at a time,
``KernelVectorised`` all hits between two faults at once.
"""

from vswaplab.engine.kernel.machine import KernelReference, KernelVectorised

__all__ = ["KernelReference", "KernelVectorised"]
