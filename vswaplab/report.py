"""One self-contained HTML page about a run: table, figures, machine, how to repeat it.

The page asks the network for nothing: the drawing library is inside once, and
every figure is there as a still image as well, for readers without scripts.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from html import escape
from typing import NamedTuple, cast

import vl_convert

from vswaplab.base.units import drawn_ns, format_bytes
from vswaplab.charts.history import faults_chart, media_chart, residency_chart, stall_chart
from vswaplab.charts.theme import Chart, chart_spec, chart_svg, spec_svg
from vswaplab.machine.config import Machine, machine_from_dict
from vswaplab.machine.describe import machine_words
from vswaplab.machine.profiles import Profile
from vswaplab.results.result import Result
from vswaplab.results.summary import effective_access_ns, readable, summarise, touches, verdict

_MARKS = ("close_at", "open_at", "writeback_high", "writeback_low")

_STYLE = """
:root { color-scheme: light; }
body { font: 17px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 76rem;
  margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.7rem; line-height: 1.2; }
h2 { font-size: 1.3rem; margin-top: 2.2rem; }
p, ul { max-width: 48rem; }
figure { margin: 1.5rem 0; overflow-x: auto; }
figcaption { max-width: 48rem; }
.scroll { overflow-x: auto; }
table { font-size: 1rem; border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .5rem; max-width: 48rem; }
th, td { padding: .35rem .5rem; text-align: right; border-bottom: 1px solid #ccc; }
th:first-child, td:first-child { text-align: left; }
table.words td { text-align: left; overflow-wrap: anywhere; }
pre { background: #f4f4f4; padding: .8rem 1rem; overflow-x: auto; }
"""

# Scripts and images only from inside the page; the drawing library compiles its expressions.
_POLICY = "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data:"

_EMBED = """
const options = { renderer: "svg", actions: { export: true, source: false, compiled: false, editor: false } };
for (const holder of document.querySelectorAll("[data-spec]")) {
  const still = holder.innerHTML;
  const spec = JSON.parse(document.getElementById(holder.dataset.spec).textContent);
  vegaEmbed(holder, spec, options).catch(() => { holder.innerHTML = still; });
}
"""


class _Figure(NamedTuple):
    chart: Chart
    caption: str


def residency_svg(result: Result) -> str:
    """Draw where the workload's pages lie over the run, as one still figure (SVG text)."""
    machine = machine_from_dict(cast("Mapping[str, object]", result.provenance["machine"]))
    return chart_svg(_figures(result, machine)[0].chart)


def report_html(result: Result) -> str:
    """Write a result as one HTML page that opens without a network.

    Parameters
    ----------
    result
        If its provenance has a ``command``, the page shows it.

    Returns
    -------
    html
        Below 2 MB, whatever the length of the run.
    """
    machine = machine_from_dict(cast("Mapping[str, object]", result.provenance["machine"]))
    name = str(result.provenance.get("trace_title") or result.provenance["trace"])
    figures = _figures(result, machine)
    body = [
        f"<h1>{escape(name)}</h1>",
        f"<p>{escape(_lead(result))}</p>",
        _section("What happened", _list(verdict(result))),
        _section("Tier by tier", _summary_table(result)),
        _section("Over the run", "".join(_figure_html(i, figure) for i, figure in enumerate(figures))),
        _section("The machine", _list(machine_words(machine)) + _evidence_table(machine)),
        _section("Where this comes from", _provenance_table(result)),
        _section("Run it again", _again(result)),
    ]
    scripts = f"<script>{_bundle()}</script><script>{_EMBED}</script>"
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(name)} - vswaplab</title><style>{_STYLE}</style>"
    )
    main = f"<main>{''.join(body)}</main>"
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>{main}{scripts}</body></html>\n'


def _bundle() -> str:
    return vl_convert.javascript_bundle(None)  # type: ignore[arg-type] # its stub forgets that None is the ready bundle


def _lead(result: Result) -> str:
    totals = result.totals
    pages = cast(int, result.provenance["n_pages"])
    return (
        f"{totals['accesses']:,} accesses ({touches(result):,} touches) to {pages:,} pages "
        f"({format_bytes(pages * 4096)}). A touch waited {drawn_ns(effective_access_ns(result))} on average; "
        f"all of them {drawn_ns(totals['stall_ns'])}. The times are a model's, from a table of costs."
    )


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def _list(items: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>"


# Tables ---------------------------------------------------------------------------------------


def _summary_table(result: Result) -> str:
    headings, *rows = readable(summarise(result))
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in headings)
    body = "".join(_row(first, cells) for first, *cells in rows)
    caption = (
        "Sizes at the end of the run, everything else over the whole run. Hits were served without a fault. "
        "Arrived: pages from a faster tier. Written back: pages the kernel moved to a slower tier. "
        "Refused: pages the tier was offered and turned away."
    )
    return (
        '<div class="scroll" role="region" aria-label="Tier by tier" tabindex="0">'
        f"<table><caption>{escape(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _row(first: str, cells: Iterable[str]) -> str:
    return f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>'


def _words_table(caption: str, rows: Mapping[str, str]) -> str:
    body = "".join(_row(name, [text]) for name, text in rows.items())
    return f'<table class="words"><caption>{escape(caption)}</caption><tbody>{body}</tbody></table>'


def _evidence_table(machine: Machine) -> str:
    profiles = {}
    if machine.cram is not None:
        profiles["CRAM"] = machine.cram.device
    if machine.zswap is not None:
        profiles["zswap"] = machine.zswap.profile
    rows = {tier: _evidence(profile) for tier, profile in profiles.items()}
    return _words_table("Where the figures of the hardware come from", rows) if rows else ""


def _evidence(profile: Profile) -> str:
    guesses = f" {profile.guesses}" if profile.guesses else ""
    return f"{profile.name}: {profile.title}. Source: {profile.source} ({profile.date}).{guesses}"


def _provenance_table(result: Result) -> str:
    found = result.provenance
    rows = {
        "Trace": str(found["trace"]),
        "Trace digest (SHA-256)": str(found["trace_digest"]),
        **({"What pages hold": "made up: no page was measured"} if found.get("contents_made_up") is True else {}),
        "Seed": str(found["seed"]),
        "Engine": str(found["engine"]),
        "Versions": ", ".join(f"{name} {found[name]}" for name in ("vswaplab", "numpy", "polars")),
    }
    return _words_table("Everything the numbers depend on, with the machine above", rows)


def _again(result: Result) -> str:
    found = result.provenance
    lines = []
    if found.get("command"):
        lines.append(
            f"<pre><code>{escape(str(found['command']))}</code></pre><p>or, from the files beside this page:</p>"
        )
    code = (
        "import json, vswaplab as vl\n"
        'machine = vl.machine_from_dict(json.load(open("provenance.json"))["machine"])\n'
        f"trace = vl.load_trace({str(found['trace'])!r})  # the one with the digest above\n"
        f"result = vl.simulate(trace, machine, seed={found['seed']}{_events_code(found)})"
    )
    return "".join([*lines, f"<pre><code>{escape(code)}</code></pre>"])


def _events_code(found: Mapping[str, object]) -> str:
    events = cast("list[dict[str, object]]", found.get("events") or [])
    calls = [f"vl.swapoff({', '.join(f'{name}={value!r}' for name, value in event.items())})" for event in events]
    return f", events=[{', '.join(calls)}]" if calls else ""


# Figures --------------------------------------------------------------------------------------


def _figures(result: Result, machine: Machine) -> list[_Figure]:
    cram = machine.cram
    mode = None if cram is None else cram.mode
    figures = [
        _Figure(
            residency_chart(result.tiers, cram_mode=mode),
            "Every page that was touched lies in one tier; the height of a band is its uncompressed size.",
        ),
        _Figure(
            faults_chart(result.epochs, cram_mode=mode),
            "Above: faults by what they found. Below: pages that moved, writeback between tiers included; "
            "a band below the line went into the tier, a band above it came back.",
        ),
        _Figure(
            stall_chart(result.epochs, cram_mode=mode),
            "Time that accesses waited, by the tier they waited for. Compression on the way out counts for "
            "its tier; writes to a swapfile happen in the background and are not waited for.",
        ),
    ]
    if cram is None:
        return figures
    media = media_chart(
        result.tiers,
        media_bytes=cram.media_bytes,
        advertised_bytes=cram.advertised_bytes,
        thresholds={name: getattr(cram, name) for name in _MARKS},
        cram_mode=mode,
    )
    caption = "The dashed curve is what the pages would take uncompressed, the solid one what the device holds."
    return [*figures, _Figure(media, caption)]


def _figure_html(index: int, figure: _Figure) -> str:
    spec = chart_spec(figure.chart)
    still = base64.b64encode(spec_svg(spec).encode()).decode()
    image = f'<img alt="{escape(str(spec["description"]))}" src="data:image/svg+xml;base64,{still}">'
    text = json.dumps(spec).replace("<", "\\u003c")  # nothing inside can end the script element
    return (
        f'<figure><div data-spec="spec-{index}">{image}</div>'
        f'<script type="application/json" id="spec-{index}">{text}</script>'
        f"<figcaption>{escape(figure.caption)}</figcaption></figure>"
    )
