"""Many runs: designs of machines, executors that run them, a store that keeps what is finished."""

from vswaplab.sweeps.design import Design, grid, latin_hypercube, random_design
from vswaplab.sweeps.run import sweep

__all__ = ["Design", "grid", "latin_hypercube", "random_design", "sweep"]
