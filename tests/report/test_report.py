"""The report opens without a network, says everything in text, and stays small."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest

import vswaplab as vl
from vswaplab.report import report_html

CHROMIUM = shutil.which("chromium")


def result(name: str = "four-tiers", n_accesses: int = 20_000) -> vl.Result:
    trace = vl.phases(n_pages=1_000, n_accesses=n_accesses, seed=1)
    return vl.simulate(trace, vl.preset(name, 400))


@cache
def page(name: str = "four-tiers") -> str:
    return report_html(result(name))


class Reader(HTMLParser):
    """Collects the start tags and the text of a page, scripts and styles left out."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] not in ("script", "style"):
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_report__asks_the_network_for_nothing() -> None:
    tags = Reader(page()).tags
    fetched = [value or "" for _, attributes in tags for name, value in attributes.items() if name in ("src", "href")]

    assert [value for value in fetched if not value.startswith("data:")] == []
    assert not [tag for tag, _ in tags if tag in ("link", "iframe", "object")]
    assert "default-src 'none'" in page()
    assert "@import" not in page()[: page().index("</style>")]


def test_report__is_below_two_megabytes() -> None:
    assert len(page().encode()) < 2_000_000


def test_report__has_a_language_headings_and_a_described_image_for_each_figure() -> None:
    reader = Reader(page())

    assert reader.all("html") == [{"lang": "en"}]
    assert len(reader.all("h1")) == 1
    assert len(reader.all("h2")) >= 5
    assert len(reader.all("img")) == len(reader.all("figure")) == 4
    assert all(len(image["alt"] or "") > 40 for image in reader.all("img"))


def test_report__table_has_scopes_and_a_caption() -> None:
    reader = Reader(page())

    assert {cell["scope"] for cell in reader.all("th")} == {"col", "row"}
    assert len(reader.all("caption")) == len(reader.all("table"))


def test_report__says_verdict_machine_and_seed_in_text() -> None:
    text = " ".join(Reader(page()).text)

    for words in (
        "No memory was lost.",
        "CRAM: shows",
        "Trace digest",
        "ocp-spec",
        "vl.simulate(trace, machine, seed=0)",
    ):
        assert words in text


def test_report__machine_without_cram_has_three_figures() -> None:
    assert len(Reader(page("zswap-only")).all("figure")) == 3


def test_report__text_of_others_cannot_become_markup() -> None:
    found = result()
    odd = "</script><b>&"
    text = report_html(
        replace(found, provenance=found.provenance | {"trace_title": odd, "command": odd, "notes": [odd]})
    )

    assert "<b>" not in text
    assert text.count("&lt;/script&gt;&lt;b&gt;&amp;") == 4


@pytest.mark.slow  # seconds
def test_report__a_saved_result_gives_the_same_page(tmp_path: Path) -> None:
    found = result()

    assert report_html(vl.load_result(found.save(tmp_path / "r"))) == report_html(found)


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
def test_report__draws_every_figure_in_a_browser_without_a_network(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(page(), encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=10000", "--dump-dom"]
    done = subprocess.run(
        [str(CHROMIUM), *flags, path.as_uri()], check=True, capture_output=True, text=True, timeout=120
    )

    assert len(re.findall(r'<svg [^>]*class="marks"', done.stdout)) == 4
