"""What the workload asks for: accesses in time order and what pages contain."""

from vswaplab.trace.corpus import Corpus, synthetic_corpus
from vswaplab.trace.export import export_trace
from vswaplab.trace.files import TraceFile, load_trace, open_trace, save_trace, shipped_traces, write_trace
from vswaplab.trace.importers.importer import import_trace
from vswaplab.trace.sample import sample
from vswaplab.trace.synthetic import (
    collapse,
    drift,
    fork,
    loop,
    mixture,
    phases,
    prefork,
    scan,
    uniform,
    with_contents,
    zipf,
)
from vswaplab.trace.trace import Trace

__all__ = [
    "Corpus",
    "Trace",
    "TraceFile",
    "collapse",
    "drift",
    "export_trace",
    "fork",
    "import_trace",
    "load_trace",
    "loop",
    "mixture",
    "open_trace",
    "phases",
    "prefork",
    "sample",
    "save_trace",
    "scan",
    "shipped_traces",
    "synthetic_corpus",
    "uniform",
    "with_contents",
    "write_trace",
    "zipf",
]
