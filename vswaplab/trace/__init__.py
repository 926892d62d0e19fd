"""What the workload asks for: accesses in time order and what pages contain."""

from vswaplab.trace.corpus import Corpus, synthetic_corpus
from vswaplab.trace.files import load_trace, save_trace, shipped_traces
from vswaplab.trace.synthetic import collapse, drift, fork, loop, mixture, phases, prefork, scan, uniform, zipf
from vswaplab.trace.trace import Trace

__all__ = [
    "Corpus",
    "Trace",
    "collapse",
    "drift",
    "fork",
    "load_trace",
    "loop",
    "mixture",
    "phases",
    "prefork",
    "save_trace",
    "scan",
    "shipped_traces",
    "synthetic_corpus",
    "uniform",
    "zipf",
]
