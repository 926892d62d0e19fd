"""Figures: each function takes a table of a result and returns an altair chart."""

from vswaplab.charts.compare import comparison_chart, folio_chart
from vswaplab.charts.contents import contents_chart
from vswaplab.charts.curves import bars_chart, curves_chart, intervals_chart
from vswaplab.charts.display import setup_display
from vswaplab.charts.frontier import frontier_chart
from vswaplab.charts.history import faults_chart, media_chart, residency_chart, stall_chart
from vswaplab.charts.layers import backend_chart
from vswaplab.charts.policies import policies_chart
from vswaplab.charts.theme import TIER_COLOURS, save_chart
from vswaplab.charts.validation import validation_chart
from vswaplab.results.summary import TIERS

__all__ = [
    "TIERS",
    "TIER_COLOURS",
    "backend_chart",
    "bars_chart",
    "comparison_chart",
    "contents_chart",
    "curves_chart",
    "faults_chart",
    "folio_chart",
    "frontier_chart",
    "intervals_chart",
    "media_chart",
    "policies_chart",
    "residency_chart",
    "save_chart",
    "setup_display",
    "stall_chart",
    "validation_chart",
]
