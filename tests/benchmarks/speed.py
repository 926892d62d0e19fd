"""Measure the speed that the project promises, each figure beside its peer.

    python tests/benchmarks/speed.py                     rows 1 to 6 of the specification, and the others
    python tests/benchmarks/speed.py --rows 1,2 --only "4 Mi"
    python tests/benchmarks/speed.py --guards            every stream, size and watermark (long)
    python tests/benchmarks/speed.py --quick             a minute at small sizes: does everything still run?
    python tests/benchmarks/speed.py --table speed.json  the Markdown of a run that was kept with --json

Needs the extra ``bench`` (libCacheSim); numba, if it is there, is a yardstick.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

from bench.guards import run_guards
from bench.measure import Measurement
from bench.peers import LibCacheSim
from bench.rows import Suite
from bench.streams import FULL, QUICK
from bench.tables import document, environment, load_average, markdown_of, read_document, row_cells, text_of

ROWS = ("1", "2", "3", "4", "5", "6", "others", "guards")
ROUNDS, QUICK_ROUNDS = 5, 2


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", help=f"some of {','.join(ROWS)}; default: all but guards")
    parser.add_argument("--guards", action="store_true", help="the cross of streams alone, or after --rows")
    parser.add_argument("--all", action="store_true", help="rows and guards")
    parser.add_argument("--only", default="", metavar="TEXT", help="only cases whose label has this in it")
    parser.add_argument("--quick", action="store_true", help="small sizes: its figures mean nothing")
    parser.add_argument("--rounds", type=int, help=f"runs of each side; default {ROUNDS}, quick {QUICK_ROUNDS}")
    parser.add_argument("--json", type=Path, metavar="PATH", help="keep every round's times")
    parser.add_argument("--table", type=Path, metavar="PATH", help="print Markdown of a kept run and measure nothing")
    options = parser.parse_args(words)
    options.rows = chosen_rows(options)
    unknown = [row for row in options.rows if row not in ROWS]
    if unknown:
        parser.error(f"no row {', '.join(unknown)}: choose from {', '.join(ROWS)}")
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds must be at least 1")
    return options


def chosen_rows(options: argparse.Namespace) -> list[str]:
    """Say which rows were asked for, in order."""
    if options.all:
        return list(ROWS)
    rows = options.rows.split(",") if options.rows else [] if options.guards else list(ROWS[:-1])
    return rows + ["guards"] * (options.guards and "guards" not in rows)


def measured(options: argparse.Namespace, lcs: LibCacheSim) -> Iterator[Measurement]:
    """Run what was asked for, one case at a time."""
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    suite = Suite(QUICK if options.quick else FULL, rounds, lambda label: options.only in label, lcs)
    for row in options.rows:
        yield from run_guards(suite) if row == "guards" else suite.run(row)


def main(words: list[str] | None = None) -> int:
    """Measure and print; after Ctrl-C (130) or an error (1) what was finished."""
    options = arguments(words)
    if options.table:
        print(markdown_of(*read_document(options.table)))
        return 0
    about = environment() | {"load at start": load_average()}
    if options.quick:
        about["sizes"] = "cut by --quick: the figures mean nothing"
    cases: list[Measurement] = []
    lcs, code = LibCacheSim(), 0
    try:
        for case in measured(options, lcs):
            cases.append(case)
            print(one_line(case), file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        code = 130
    except Exception:  # what was measured so far took long: print it all the same
        traceback.print_exc()
        code = 1
    finally:
        lcs.close()
    about["load at end"] = load_average()
    print(text_of(cases, about))
    if options.json:
        options.json.write_text(document(cases, about), encoding="utf-8")
    return code


def one_line(case: Measurement) -> str:
    """Write a case as it is finished."""
    return "  ".join(row_cells(case))


if __name__ == "__main__":
    sys.exit(main())
