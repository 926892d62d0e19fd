"""What real kernels did, run by run, and the same runs in the model."""

from vswaplab.truth.folder import read_metadata, read_truth
from vswaplab.truth.replay import replay
from vswaplab.truth.runs import TruthRun

__all__ = ["TruthRun", "read_metadata", "read_truth", "replay"]
