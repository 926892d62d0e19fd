"""The progress bar: what it says, and where."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import pytest

from vswaplab.base.errors import InputError
from vswaplab.base.progress import Progress, check_report, progress_words, reporting


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1.0, ", 10 runs a second, about 9 s left"),
        (4.0, ", 2.5 runs a second, about 36 s left"),
        (100.0, ", 0.1 runs a second, about 15 min left"),
        (300.0, ", 0.033 runs a second, about 45 min left"),
        (1e4, ", 0.001 runs a second, about 25 h left"),
        (1e6, ", 0.00001 runs a second, about 104 days left"),
    ],
)
def test_progress_words__rate_and_time_left(seconds: float, words: str) -> None:
    assert words in progress_words(20, 110, 10, seconds, "runs")


def test_progress_words__no_rate_before_anything_is_done_and_at_the_end() -> None:
    assert progress_words(20, 100, 0, 1.0, "runs") == "20 of 100 runs (20%)"
    assert progress_words(100, 100, 80, 1.0, "runs") == "100 of 100 runs (100%)"


def test_progress__in_a_log_a_line_every_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    stream = io.StringIO()
    with Progress(stream, "runs") as progress:
        for second in range(25):
            clock[0] = second
            progress(50 + second, 100)

    first, second_line = stream.getvalue().splitlines()
    assert first == "vswaplab: 60 of 100 runs (60%), 1.0 runs a second, about 40 s left"
    assert second_line.startswith("vswaplab: 70 of 100")


def test_progress__in_a_notebook_one_bar_that_is_updated(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    class Handle:
        def update(self, data: dict[str, str], *, raw: bool) -> None:
            shown.append(data["text/html"])

    def display(data: dict[str, str], *, raw: bool, display_id: bool) -> Handle:
        shown.append(data["text/html"])
        return Handle()

    ipython = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=1), display=SimpleNamespace(display=display))
    monkeypatch.setitem(sys.modules, "IPython", ipython)  # type: ignore[arg-type]
    monkeypatch.setattr("vswaplab.base.progress._EVERY", {"notebook": 0.0})
    stream = io.StringIO()
    with Progress(stream, "runs") as progress:
        progress(0, 2)
        progress(2, 2)

    assert len(shown) == 2
    assert '<progress value="2" max="2"' in shown[1]
    assert "2 of 2 runs (100%)" in shown[1]
    assert stream.getvalue() == ""


def test_reporting__goes_to_a_function_to_a_bar_or_to_nobody() -> None:
    seen: list[tuple[int, int]] = []
    for progress in (lambda done, total: seen.append((done, total)), True, False, None):
        with reporting(progress, "runs") as report:
            report(1, 2)

    assert seen == [(1, 2)]


@pytest.mark.parametrize("progress", [5, "abc", []])
def test_reporting__refuses_what_cannot_be_told(progress: object) -> None:
    said = "progress must be true, false or a function"
    with pytest.raises(InputError, match=said), reporting(progress, "runs"):  # type: ignore[arg-type]
        pass
    for value in (progress, True, 0):
        with pytest.raises(InputError, match=r"progress must be a function of .*, or None"):
            check_report(value)
