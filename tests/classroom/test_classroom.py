"""The page for a class: its numbers are the engine's, its answers hold, it works by keyboard and without a network."""

from __future__ import annotations

import re
import signal
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

import vswaplab as vl
from vswaplab import cli
from vswaplab.classroom.dials import RISKS, SIZES, Dial, combinations
from vswaplab.classroom.grid import Lesson, sampled
from vswaplab.classroom.page import page_html
from vswaplab.classroom.questions import Question, Risk, Sizes, questions
from vswaplab.cli.classroom import check_page
from vswaplab.machine.presets import with_settings
from vswaplab.results.prices import price_table
from vswaplab.results.summary import effective_access_ns, touches

# what the questions ask about, and the start
FEW = {"dram": (30, 40), "media": (15, 20), "pool": (20, 35), "mark": (60, 90), "budget": (0, 480), "lag": (250, 2000)}


def few(dials: tuple[Dial, ...]) -> tuple[Dial, ...]:
    values = {dial: FEW[dial.name] for dial in dials}
    return tuple(replace(d, values=v, start=d.start if d.start in v else v[0]) for d, v in values.items())


LESSON = Lesson(few(SIZES), few(RISKS), n_runs=2)


@cache
def tables() -> tuple[pl.DataFrame, pl.DataFrame]:
    return LESSON.tables()


@cache
def page() -> str:
    return page_html(LESSON, *tables(), asked())


@cache
def asked() -> list[Question]:
    return questions(*tables(), LESSON.n_runs, LESSON.wait_ns)


class Tags(HTMLParser):
    """Collects the start tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


# The tables -----------------------------------------------------------------------------------


def test_tables__have_a_row_for_every_setting_and_tier_within_altairs_limit() -> None:
    full = len(combinations(SIZES)) * 5, len(combinations(RISKS)) * 21

    assert max(full) <= 5_000
    assert tables()[0].height == 8 * 5
    assert tables()[1].height == 8 * 21


def test_tables__say_what_the_engine_says() -> None:
    trace = LESSON.program
    n_pages = trace.n_pages
    settings = [f"dram.capacity_pages={n_pages * 30 // 100}", f"cram.media_bytes={n_pages * 20 // 100 * 4096}"]
    run = vl.simulate(trace, with_settings(vl.preset("four-tiers", n_pages), settings))

    found = Sizes(tables()[0], dram=30, media=20)

    assert found.touches("swapfile") == run.totals["pswpin"]
    assert found.wait_ms == pytest.approx((run.totals["stall_ns"] - run.epochs["stall_dram_ns"].sum()) / 1e6, abs=0.01)
    assert sum(row["touches"] for row in found.rows.values()) == touches(run)
    assert sum(row["stall_ms"] for row in found.rows.values()) * 1e6 / touches(run) == pytest.approx(
        effective_access_ns(run), rel=1e-6
    )


def test_tables__count_lost_pages_over_all_runs() -> None:
    cram = ["writeback_low=0.85", "writeback_high=0.9", "open_at=0.9", "close_at=0.95", "report_lag=2000"]
    machine = with_settings(vl.preset("four-tiers", 4000), [f"cram.{text}" for text in cram])
    machine = with_settings(machine, ["cram.writable_budget_pages=480"])
    lost = [vl.simulate(trace, machine, seed=i).totals["poison"] for i, trace in enumerate(LESSON.collapsing)]

    found = Risk(tables()[1], mark=90, budget=480, lag=2000)

    assert found.lost_pages == sum(lost) > 0
    assert found.lost_runs == sum(pages > 0 for pages in lost)


def test_sampled__keeps_whole_regions_and_every_access_to_them() -> None:
    whole = vl.Trace([0, 63, 64, 256, 300, 5], [0, 1, 0, 1, 0, 0], n_pages=320, content=list(range(320)))

    part = sampled(whole, 4)

    assert part.page.tolist() == [0, 63, 64, 108, 5]
    assert part.op.tolist() == [0, 1, 1, 0, 0]
    assert part.content.tolist() == [*range(64), *range(256, 320)]


def test_sampled__program_behaves_like_the_whole() -> None:
    whole = vl.load_trace("redis")
    runs = [vl.simulate(trace, vl.preset("four-tiers", trace.n_pages)) for trace in (whole, LESSON.program)]
    reads, few_reads = (run.totals["pswpin"] for run in runs)

    assert 4 * few_reads == pytest.approx(reads, rel=0.05)


# What the page says ---------------------------------------------------------------------------


def test_questions__answers_say_what_the_numbers_say() -> None:
    by_tier, by_window = tables()
    start, less, media = Sizes(by_tier), Sizes(by_tier, dram=30), Sizes(by_tier, media=20)
    pool = Sizes(by_tier, pool=35)
    gains = {tier: less.mib(tier) - start.mib(tier) for tier in ("CRAM", "zswap", "swapfile")}

    assert gains["swapfile"] > 0.9 * (start.mib("DRAM") - less.mib("DRAM"))  # "the tiers between were full"
    assert less.wait_ms > 1.2 * start.wait_ms
    assert media.wait_ms < pool.wait_ms < start.wait_ms  # "The media"
    assert pool.mib("DRAM") < start.mib("DRAM")
    assert start.wait_us("CRAM") < 1 < start.wait_us("zswap") < start.wait_us("swapfile")
    settings = [{"lag": 250, "mark": 90, "budget": 480}, {"lag": 2000, "mark": 60, "budget": 480}]
    settings += [{"lag": 2000, "mark": 90, "budget": 0}]
    assert [Risk(by_window, **at).lost_runs for at in settings] == [0, 0, 0]
    assert Risk(by_window, lag=2000, mark=90, budget=480).lost_runs >= 1
    costs = [Risk(by_window, lag=2000, mark=mark, budget=480).stall_ms for mark in (60, 90)]
    assert costs[0] > 1.3 * costs[1]


def test_questions__price_of_a_load_is_the_price_tables() -> None:
    price = dict(price_table(LESSON.machine).select("event", "stall_ns").rows())
    less_dram, media_or_pool, _ = asked()
    all_waits = Sizes(tables()[0]).wait_us("zswap")

    assert price["zswpin"] / 1e3 < all_waits / 2  # what is packed and never comes back counts
    assert f"from the swapfile takes {price['pswpin_0'] / 1e3:,.0f} µs" in less_dram.answer
    assert f"From zswap it takes {price['zswpin'] / 1e3:.1f} µs, and with all the packing on the way in, " in (
        less_dram.answer
    )
    assert f"{all_waits:,.0f} µs for each page that comes back" in less_dram.answer
    assert f"which takes {price['cram_read'] / 1e3:.2f} µs" in media_or_pool.answer
    assert media_or_pool.answer.endswith(f"which takes {price['zswpin'] / 1e3:.1f} µs.")


def test_page__asks_the_network_for_nothing_and_runs_two_known_scripts() -> None:
    tags = Tags(page())

    assert not [value for _, a in tags.found for name, value in a.items() if name in ("src", "href", "action")]
    assert not [tag for tag, _ in tags.found if tag in ("link", "iframe", "object")]
    policy = next(a["content"] for a in tags.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert policy.count("sha256-") == 2
    assert "eval" not in policy


def test_page__is_below_two_megabytes_and_leaves_no_placeholder() -> None:
    assert len(page().encode()) < 2_000_000
    assert not re.findall(r"\$[a-z_]+", page()[: page().index("<script")])


def test_page__every_slider_has_a_label_and_every_question_a_folded_answer() -> None:
    tags = Tags(page())
    names = [slider["id"] for slider in tags.all("input")]

    assert names == ["dram", "media", "pool", "mark", "budget", "lag"]
    assert [label["for"] for label in tags.all("label")] == names
    assert len(tags.all("details")) == len(tags.all("summary")) == 3
    assert not any("open" in details for details in tags.all("details"))
    assert tags.all("html") == [{"lang": "en"}]


# The command ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "complaint"),
    [
        (".", "it is a folder"),
        ("file/page.html", "cannot make"),
        ("/proc/page.html", "cannot write the page to /proc"),
        ("thesis.html", "thesis.html is there, and not from `vswaplab classroom`: choose another place"),
    ],
)
def test_command__refuses_a_bad_place_before_the_work(
    place: str, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("", encoding="utf-8")
    Path("thesis.html").write_text("<title>It was a dark and stormy night</title>", encoding="utf-8")
    monkeypatch.setattr(Lesson, "tables", lambda *_: pytest.fail("worked first"))

    assert cli.main(["classroom", "--out", place]) == 2

    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
    assert "dark and stormy" in Path("thesis.html").read_text(encoding="utf-8")


def test_command__an_earlier_page_may_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(page(), encoding="utf-8")
    check_page(tmp_path / "page.html")
    (tmp_path / "empty.html").touch()
    check_page(tmp_path / "empty.html")


def test_command__ctrl_c_in_the_middle_of_a_run_leaves_no_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object, **settings: object) -> vl.Result:
        return vl.simulate(*arguments, progress=lambda *_: signal.raise_signal(signal.SIGINT), **settings)

    monkeypatch.setattr("vswaplab.classroom.grid.simulate", interrupted)

    assert cli.main(["classroom", "--out", str(tmp_path / "page.html")]) == 130

    assert capsys.readouterr().err.endswith("vswaplab: interrupted\n")
    assert [*tmp_path.iterdir()] == []
