"""The model itself: a readable reference and a vectorised engine that must agree."""

from vswaplab.engine.run import simulate

__all__ = ["simulate"]
