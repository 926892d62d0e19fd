"""Many runs: designs of machines, executors that run them, a store that keeps what is finished; cost against stall."""

from vswaplab.sweeps.design import Design, grid, latin_hypercube, random_design
from vswaplab.sweeps.frontier import frontier, next_dollar
from vswaplab.sweeps.optimise import optimise
from vswaplab.sweeps.run import sweep

__all__ = ["Design", "frontier", "grid", "latin_hypercube", "next_dollar", "optimise", "random_design", "sweep"]
