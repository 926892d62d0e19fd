"""The reference: the model one access at a time, in dicts and loops.

This is the law. Every rule of the model stands here once, in the plainest
form; the vectorised engine must give the same counters, occupancy and final
state, bit for bit. Read ``machine.py`` first, then ``reclaim.py`` and
``tiers.py``; ``memory.py`` is what they share.
"""

from vswaplab.engine.reference.machine import Reference

__all__ = ["Reference"]
