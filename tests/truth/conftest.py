"""A run takes the model two seconds: repetitions and variants of the vswap runs are among the slow tests."""

from __future__ import annotations

import pytest

VARIANTS = (".r1", ".r2", "_smp2", "_w32", "_phases", "no_zipf", "_shr", "_kept", "mp5")
VARIANTS += ("cram128", "cram_uniform", "nocram", "_p1000", "pressure_1000", "same_things", "swapped_pages_come_back")
VARIANTS += ("mp40", "swapmax16", "vs_zipf_mp10", "_nowb", "swapoff_zipf", "cram_zipf")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        is_of_vswap = item.path.name == "test_vswap_truth.py"
        if is_of_vswap and any(variant in item.name for variant in VARIANTS):
            item.add_marker(pytest.mark.slow)
