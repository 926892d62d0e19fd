"""The vectorised engine: numpy arrays, whole windows of accesses at a time."""

from vswaplab.engine.vectorised.machine import Vectorised

__all__ = ["Vectorised"]
