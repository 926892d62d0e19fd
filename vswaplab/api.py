"""The public names of vswaplab; ``import vswaplab as vl`` gives them."""

from importlib.metadata import version as _version

from vswaplab.base.backing import Backing, Op
from vswaplab.base.errors import InputError
from vswaplab.boxes.calibrate import Calibration, calibrate
from vswaplab.engine import simulate
from vswaplab.engine.bounds import compare_policies, unlimited
from vswaplab.engine.follow import follow
from vswaplab.engine.metadata import metadata_along
from vswaplab.engine.risk import poison_probability, risk
from vswaplab.engine.sampled import Sampled
from vswaplab.images.measure import Contents, load_contents, measure
from vswaplab.machine.code import machine_code
from vswaplab.machine.config import Costs, Cram, Dram, Machine, Swapfile, Zram, Zswap, machine_from_dict
from vswaplab.machine.dollars import cost_usd, prices
from vswaplab.machine.kernel import Kernel
from vswaplab.machine.layers import break_even_share, cluster_metadata_bytes, layer_designs, metadata_bytes
from vswaplab.machine.linux import linux
from vswaplab.machine.plugins import register
from vswaplab.machine.presets import load_costs, preset
from vswaplab.machine.profiles import Profile, profiles
from vswaplab.machine.scale import scaled
from vswaplab.machine.stores import Store
from vswaplab.machine.swapoff import swapoff, swapoff_work
from vswaplab.machine.transitions import backend_work, transitions
from vswaplab.recorder.record import record
from vswaplab.results.pareto import pareto
from vswaplab.results.result import Result, load_result
from vswaplab.results.statistics import runs_needed, wilson_interval
from vswaplab.sweeps import Design, frontier, grid, latin_hypercube, next_dollar, optimise, random_design, sweep
from vswaplab.trace import (
    Corpus,
    Trace,
    TraceFile,
    collapse,
    drift,
    export_trace,
    fork,
    import_trace,
    load_trace,
    loop,
    mixture,
    open_trace,
    phases,
    prefork,
    sample,
    save_trace,
    scan,
    shipped_traces,
    synthetic_corpus,
    uniform,
    with_contents,
    write_trace,
    zipf,
)
from vswaplab.truth import TruthRun, read_truth, replay

__version__ = _version("vswaplab")

__all__ = [
    "Backing",
    "Calibration",
    "Contents",
    "Corpus",
    "Costs",
    "Cram",
    "Design",
    "Dram",
    "InputError",
    "Kernel",
    "Machine",
    "Op",
    "Profile",
    "Result",
    "Sampled",
    "Store",
    "Swapfile",
    "Trace",
    "TraceFile",
    "TruthRun",
    "Zram",
    "Zswap",
    "backend_work",
    "break_even_share",
    "calibrate",
    "cluster_metadata_bytes",
    "collapse",
    "compare_policies",
    "cost_usd",
    "drift",
    "export_trace",
    "follow",
    "fork",
    "frontier",
    "grid",
    "import_trace",
    "latin_hypercube",
    "layer_designs",
    "linux",
    "load_contents",
    "load_costs",
    "load_result",
    "load_trace",
    "loop",
    "machine_code",
    "machine_from_dict",
    "measure",
    "metadata_along",
    "metadata_bytes",
    "mixture",
    "next_dollar",
    "open_trace",
    "optimise",
    "pareto",
    "phases",
    "poison_probability",
    "prefork",
    "preset",
    "prices",
    "profiles",
    "random_design",
    "read_truth",
    "record",
    "register",
    "replay",
    "risk",
    "runs_needed",
    "sample",
    "save_trace",
    "scaled",
    "scan",
    "shipped_traces",
    "simulate",
    "swapoff",
    "swapoff_work",
    "sweep",
    "synthetic_corpus",
    "transitions",
    "uniform",
    "unlimited",
    "wilson_interval",
    "with_contents",
    "write_trace",
    "zipf",
]
