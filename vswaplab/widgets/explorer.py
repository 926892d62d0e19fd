"""The explorer: a machine's settings as controls, its figures, and what the last change did in words.

It holds state only. A move makes a ``Machine``, runs ``simulate`` on it and
hands the tables to ``charts.panels``; ``board`` shows them. A run that takes
longer than a moment is previewed on a sample of the pages and refined in the
background.
"""

from __future__ import annotations

import json
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from vswaplab.base.draws import checked_seed
from vswaplab.base.errors import InputError, shown
from vswaplab.base.units import PAGE_SIZE, drawn_ns, format_share
from vswaplab.charts.panels import Panel, panels
from vswaplab.engine.run import Progress, simulate
from vswaplab.engine.sampled import Sampled
from vswaplab.machine.code import machine_code
from vswaplab.machine.config import Machine
from vswaplab.machine.presets import DEFAULT_PRESET, preset, preset_names, with_settings
from vswaplab.results.changes import below_dram_ns, change_words, ending_words
from vswaplab.results.result import Result
from vswaplab.results.summary import readable, summarise
from vswaplab.trace.files import TraceFile, load_or_open, shipped_traces
from vswaplab.trace.trace import Trace
from vswaplab.widgets.board import Board
from vswaplab.widgets.controls import (
    BY_KEY,
    CONTROLS,
    TIER_NAMES,
    Choice,
    Control,
    Number,
    asked_words,
    in_words,
    is_number,
    read,
    why_absent,
)
from vswaplab.widgets.refine import Refiner

SIDES = ("A", "B")
BOTH = "A and B"

_WINDOWS = 50  # more are no easier to read, and each costs half a millisecond
_LEAST_WINDOW = 1_000  # accesses: shorter ones take as long
_MOST_WINDOW = 500_000  # accesses: a run in the background is given up between two windows
_PREVIEW_ACCESSES = 100_000
_PATIENCE = 5.0  # seconds still to go, at which a run that was expected to take a moment is given up
_FIRST_GUESS_NS = 250  # an access, before anything was run
_KEPT = 24  # results that undo and the other side find again
_START = "as opened"


@dataclass(frozen=True)
class Setup:
    """Everything that is set: what undo goes back to."""

    trace: str
    seed: int
    machines: tuple[Machine, ...]
    moves: str = SIDES[0]
    follows: bool = True

    @property
    def moved(self) -> tuple[int, ...]:
        """Which machines a control changes."""
        if len(self.machines) == 1 or self.moves == SIDES[0]:
            return (0,)
        return (1,) if self.moves == SIDES[1] else (0, 1)

    @property
    def shown(self) -> Machine:
        """The machine whose settings the controls show."""
        return self.machines[self.moved[0]]


@dataclass(frozen=True)
class _Answer:
    # What a setup's runs said; of a preview, also the sample's share and its error.
    results: tuple[Result, ...]
    share: float = 1.0
    error: float = 0.0


class _TooLongError(Exception):
    # An exact run goes so slowly that a preview is there first.
    pass


class Explorer:
    """Move the settings of a machine, or of two side by side, and see at once what changes.

    Parameters
    ----------
    trace : Trace or TraceFile
    machine : Machine
        Where the controls start. What has no control stays as it is.
    seed : int
    compare : Machine
        A second machine B to begin with; None: one machine.
    preview_after : float, s
        A run that should take longer (and twice as long as its preview) is
        previewed on a sample of the pages and refined in the background; 0: every run.
        A run that turns out to have 5 s to go or more is given up for its preview.

    Raises
    ------
    InputError
        Not a trace or a machine, or a trace whose contents lack what the machine's profiles need.
    """

    def __init__(
        self,
        trace: Trace | TraceFile,
        machine: Machine,
        *,
        seed: int = 0,
        compare: Machine | None = None,
        preview_after: float = 0.4,
    ) -> None:
        if not isinstance(trace, Trace | TraceFile):
            raise InputError(f"the explorer needs a vl.Trace, got {shown(trace)}: read one with vl.load_trace")
        for made in (machine, *([] if compare is None else [compare])):
            if not isinstance(made, Machine):
                raise InputError(f"the explorer needs a vl.Machine, got {shown(made)}: take vl.preset(name, n_pages)")
        titles = dict(shipped_traces().select("name", "title").iter_rows())
        self._titles = {trace.name: trace.title} | titles
        self._is_shipped = trace.name in titles
        self._traces: dict[str, Trace | TraceFile] = {trace.name: trace}
        self._previews: dict[str, Sampled | None] = {}
        self._pace: dict[str, float] = {}
        self._preview_took: dict[str, float] = {}
        self._preview_after = preview_after
        self._kept: OrderedDict[tuple[str, int, str], Result] = OrderedDict()
        self._refiner = Refiner()
        self._board: Board | None = None
        self._removed: dict[tuple[int, str], Any] = {}
        self._serial = self._version = 0
        self._asked_at = time.perf_counter()
        self.refusal = ("", "")
        """The control that was last refused, and why; empty if the last change was taken."""
        machines = (machine,) if compare is None else (machine, compare)
        self.setup = self._start = Setup(trace.name, seed, machines, BOTH if compare is not None else SIDES[0])
        self._past: list[Setup] = []
        self._dragged = ""  # the control whose drag has taken a step: the next step belongs to it
        self._answer = self._before = self._ask(self.setup)
        self._lead = ""
        self.sentence = self._opening()
        """What the last change did, in plain words."""
        self._refine()

    # What is on the screen --------------------------------------------------------------------

    @property
    def machine(self) -> Machine:
        """The machine whose settings the controls show."""
        return self.setup.shown

    @property
    def machines(self) -> dict[str, Machine]:
        """The machines by side: A, and B if two are compared."""
        return dict(zip(SIDES, self.setup.machines, strict=False))

    @property
    def result(self) -> Result:
        """The tables of the machine that the controls show; its pages' final state is not kept."""
        return self._answer.results[self.setup.moved[0]]

    @property
    def results(self) -> dict[str, Result]:
        """The results by side."""
        return dict(zip(SIDES, self._answer.results, strict=False))

    @property
    def is_preview(self) -> bool:
        """Whether what is shown comes from a sample of the pages."""
        return self._answer.share < 1

    @property
    def badge(self) -> str:
        """What is said of a preview: its sample and how far off it may be; empty if the numbers are exact."""
        if not self.is_preview:
            return ""
        one_in, error = round(1 / self._answer.share), self._answer.error
        spread = f"\u00b1 {format_share(error)}" if error < 1 else "more than \u00b1 100 %"
        return f"Preview from one page in {one_in}: time below DRAM {spread} (95 %); refining"

    @property
    def panels(self) -> list[Panel]:
        """The figures: titles, alternative texts, tables."""
        results = self.results if len(self.setup.machines) > 1 else {"": self.result}
        return panels(results)

    @property
    def view(self) -> Board:
        """The widget."""
        if self._board is None:
            self._board = Board(self._asked)
            self._show()
        return self._board

    def code(self) -> str:
        """Write the program that computes what is on the screen."""
        setup = self.setup
        if setup.trace != self._start.trace or self._is_shipped:
            lines = ["import vswaplab as vl", "", f"trace = vl.load_trace({json.dumps(setup.trace)})"]
        else:
            lines = [
                "import vswaplab as vl",
                "",
                f"# trace: the one that the explorer was opened with, {setup.trace!r}",
            ]
        names = ["machine"] if len(setup.machines) == 1 else ["machine_a", "machine_b"]
        for name, machine in zip(names, setup.machines, strict=True):
            lines.append(f"{name} = {machine_code(machine)}")
        for name in names:
            target = name.replace("machine", "result")
            lines.append(f"{target} = vl.simulate(trace, {name}, seed={setup.seed})")
        return "\n".join(lines) + "\n"

    def __repr__(self) -> str:
        keys = ("dram.capacity_pages", "cram.media_bytes", "cram.writeback_high")
        found = ((cast(Number, BY_KEY[key]), read(self.machine, key)) for key in keys)
        here = ", ".join(f"{control.noun} {control.plain(value)}" for control, value in found if value is not None)
        return f"Explorer({here}; run the notebook to move them)"

    def _repr_mimebundle_(self, **options: Any) -> dict[str, object]:  # noqa: ANN401
        # the widget's own gives a pair: data and metadata
        found = self.view._repr_mimebundle_(**options)
        bundle = found[0] if isinstance(found, tuple) else found
        return dict(bundle or {}) | {"text/plain": repr(self)}

    # What a person does -----------------------------------------------------------------------

    def set(self, name: str, value: Any, *, more: bool = False) -> None:  # noqa: ANN401 - checked by the machine
        """Set a control, as a hand would; a refusal changes nothing and says why in ``sentence``.

        Parameters
        ----------
        name
            A setting (``cram.media_bytes``), ``has.cram`` (``zswap``,
            ``swapfiles``, ``zram``), ``trace``, ``seed``, ``preset``,
            ``compare``, ``moves`` or ``follows``.
        value
            In the machine's units: bytes, pages, shares.
        more
            Part of the same drag as the change before: undo goes back to before both. A drag begins with its first
            step that is taken.
        """
        more = more and self._dragged == name
        self._dragged = name if more else ""
        try:
            words, setup = self._wanted(name, value, self._past[-1] if more else self.setup)
            is_new = setup != self.setup
            if is_new or self.refusal[0]:
                self._go(setup, words, more=more)
            if is_new:
                self._dragged = name
        except InputError as error:
            self._refuse(name, value, str(error))
        self._show()

    def undo(self) -> None:
        """Go back to before the last change."""
        self._dragged = ""
        if self._past:
            self._go(self._past.pop(), "Undone", keep=False)
        self._show()

    def reset(self) -> None:
        """Go back to where the explorer was opened."""
        self._dragged = ""
        if self.setup != self._start:
            self._go(self._start, "Reset")
        self._show()

    def wait(self) -> None:
        """Wait until what is shown is exact."""
        self._refiner.wait()

    def _asked(self, content: dict[str, Any]) -> None:
        # A message of the screen. Whatever comes of it, the answer carries its serial.
        self._serial, self._asked_at = int(content.get("serial", 0)), time.perf_counter()
        name, value = str(content.get("name")), content.get("value")
        if name in ("undo", "reset"):
            getattr(self, name)()
            return
        control = BY_KEY.get(name)
        shown = control.native(value) if isinstance(control, Number) else value
        self.set(name, shown, more=bool(content.get("more")))

    # From a wish to a setup -------------------------------------------------------------------

    def _wanted(self, name: str, value: Any, began: Setup) -> tuple[str, Setup]:  # noqa: ANN401 - checked by the machine
        # The words say what changed since ``began``, the setup before a drag.
        setup = self.setup
        if name in BY_KEY:
            return self._set_machine(BY_KEY[name], value, began)
        if name.startswith("has."):
            return self._switch(name.removeprefix("has."), bool(value))
        if name == "preset":
            return f"Preset {value}{self._of_side('for')}", self._with_machines(
                lambda _, i: self._preset(str(value), i)
            )
        if name == "compare":
            machines = (setup.machines[0], setup.machines[0]) if value else setup.machines[:1]
            words = "Two machines, A and B" if value else "One machine again"
            return words, replace(setup, machines=machines, moves=SIDES[1] if value else SIDES[0])
        if name == "moves" and value in (*SIDES, BOTH):
            return f"Controls now change {value}", replace(setup, moves=str(value))
        if name == "follows":
            words = "CRAM media now take what is advertised along" if value else "CRAM media now move alone"
            return words, replace(setup, follows=bool(value))
        if name == "seed":
            seed = _seed(value)
            return f"Seed {began.seed} to {seed}", replace(setup, seed=seed)
        if name == "trace":
            if str(value) not in self._titles:
                raise InputError(f"there is no trace {value!r}: choose from {', '.join(self._titles)}")
            return self._to_trace(str(value))
        raise InputError(f"{name} is not a control of the explorer")

    def _set_machine(
        self,
        control: Control,
        value: Any,  # noqa: ANN401 - checked by the machine
        began: Setup,
    ) -> tuple[str, Setup]:
        why = why_absent(self.machine, control)
        if why:
            raise InputError(why)
        value = control.checked(value)
        olds = {read(began.machines[side], control.key) for side in self.setup.moved}
        moved = control.moved(olds.pop(), value) if len(olds) == 1 else f"to {control.say(value)}"
        words = f"{control.noun}{self._of_side('of')} {moved}"
        settings = [control.setting(value)]
        if control.key == "cram.media_bytes":
            if not self.setup.follows:
                settings.append(f"cram.advertised_bytes={read(self.machine, 'cram.advertised_bytes')}")
            else:
                words += " (advertised in proportion)"
        return words, self._with_machines(lambda machine, _: with_settings(machine, settings))

    def _switch(self, part: str, on: bool) -> tuple[str, Setup]:
        if part not in TIER_NAMES:
            raise InputError(f"{part} is not a tier that can be switched")
        verb = "with" if on else "without"
        return f"Now {verb} {TIER_NAMES[part]}{self._of_side('in')}", self._with_machines(
            lambda m, i: self._switched(m, i, part, on)
        )

    def _switched(self, machine: Machine, side: int, part: str, on: bool) -> Machine:
        here = getattr(machine, part)
        if bool(here) == on:
            return machine
        if not on:
            self._removed[side, part] = here
            return _with_part(machine, part, () if part == "swapfiles" else None)
        n_pages = self._trace(self.setup.trace).n_pages
        source = preset("zram-only" if part == "zram" else DEFAULT_PRESET, n_pages)
        return _with_part(machine, part, self._removed.get((side, part), getattr(source, part)))

    def _preset(self, name: str, side: int) -> Machine:
        if name == _START:
            return self._start.machines[min(side, len(self._start.machines) - 1)]
        return preset(name, self._trace(self.setup.trace).n_pages)

    def _to_trace(self, name: str) -> tuple[str, Setup]:
        # Sizes keep their share of what the program touches: the same pressure, as with presets.
        ratio = self._trace(name).n_pages / self._trace(self.setup.trace).n_pages
        machines = tuple(_fitted(machine, ratio) for machine in self.setup.machines)
        words = f"Sizes in proportion to its pages, trace {self.setup.trace} to {name}"
        return words, replace(self.setup, trace=name, machines=machines)

    def _of_side(self, word: str) -> str:
        # " of B": which of two machines moves; empty if there is one.
        return f" {word} {self.setup.moves}" if len(self.setup.machines) > 1 else ""

    def _with_machines(self, change: Any) -> Setup:  # noqa: ANN401 - a function of a machine and its side
        # A profile's name and the profile itself are the same machine.
        machines = list(self.setup.machines)
        for side in self.setup.moved:
            made = change(machines[side], side)
            machines[side] = machines[side] if _text(made) == _text(machines[side]) else made
        return replace(self.setup, machines=tuple(machines))

    # From a setup to results --------------------------------------------------------------------

    def _go(self, setup: Setup, words: str, *, more: bool = False, keep: bool = True) -> None:
        self._refiner.stop()
        try:
            answer = self._ask(setup)
        except InputError:
            self._refine()  # what stays on the screen
            raise
        if not more:
            self._before = self._answer
            if keep and setup != self.setup:
                self._past.append(self.setup)
        elif self._past and list(map(_text, self._past[-1].machines)) == list(map(_text, setup.machines)):
            self._past.pop()  # the drag is back where it began
        self._lead = words
        self.setup, self._answer, self.refusal = setup, answer, ("", "")
        self.sentence = self._told()
        self._refine()

    def _refuse(self, name: str, value: object, reason: str) -> None:
        reason = in_words(reason)
        self.refusal = (name, reason)
        what, here = self._here(name)
        asked = asked_words(BY_KEY.get(name), value)
        refused = f"{asked} is refused: {reason}" if asked else reason
        joint = " " if asked or not what else ": "
        self.sentence = f"{what} stays at {here}; {refused}." if here else f"{what}{joint}{refused}.".lstrip()

    def _here(self, name: str) -> tuple[str, str]:
        # What a control is called, and where it stands, if anywhere.
        if name in BY_KEY:
            control, value = BY_KEY[name], read(self.machine, name)
            return control.noun, "" if value is None else control.say(value)
        if name in ("seed", "trace"):
            return name.capitalize(), str(getattr(self.setup, name))
        return ("Preset", "") if name == "preset" else ("", "")

    def _ask(self, setup: Setup) -> _Answer:
        # Exact if it takes a moment or is known, else from a sample; a trace that no sample stands for is run at once.
        if self._expected(setup) <= self._moment(setup):
            try:
                return self._exact(setup, lambda: self._patience(setup))
            except _TooLongError:
                pass
        found = self._preview_of(setup)
        return self._exact(setup) if found is None else self._estimate(found, setup)

    def _expected(self, setup: Setup) -> float:
        # Seconds that the runs will take if they go as fast as the last one.
        wanted = dict.fromkeys(map(_text, setup.machines))
        unknown = [text for text in wanted if (setup.trace, setup.seed, text) not in self._kept]
        return self._pace.get(setup.trace, _FIRST_GUESS_NS * 1e-9) * len(self._trace(setup.trace)) * len(unknown)

    def _moment(self, setup: Setup) -> float:
        # Seconds up to which a run is not previewed.
        return self._preview_after and max(self._preview_after, 2 * self._preview_took.get(setup.trace, 0.0))

    def _patience(self, setup: Setup) -> Progress:
        # Gives a run up that goes so much slower than the last one that its preview is there first.
        began, most = time.perf_counter(), max(_PATIENCE, self._moment(setup))

        def progress(done: int, total: int) -> None:
            pace = (time.perf_counter() - began) / done
            if pace * (total - done) > most and self._preview_of(setup) is not None:
                self._pace[setup.trace] = pace
                raise _TooLongError

        return progress

    def _estimate(self, preview: Sampled, setup: Setup) -> _Answer:
        began = time.perf_counter()
        estimates = [preview.run(machine, seed=setup.seed) for machine in setup.machines]
        self._preview_took[setup.trace] = time.perf_counter() - began
        error = max(estimate.stall_error for estimate in estimates)
        return _Answer(tuple(e.result for e in estimates), min(e.share for e in estimates), error)

    def _exact(self, setup: Setup, watch: Callable[[], Progress | None] = lambda: None) -> _Answer:
        return _Answer(tuple(self._run(setup, machine, watch()) for machine in setup.machines))

    def _run(self, setup: Setup, machine: Machine, progress: Progress | None) -> Result:
        key = (setup.trace, setup.seed, _text(machine))
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        trace, began = self._trace(setup.trace), time.perf_counter()
        window = min(max(_LEAST_WINDOW, -(-len(trace) // _WINDOWS)), _MOST_WINDOW)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they say is in the result's notes, and so in the sentence
            result = simulate(trace, machine, seed=setup.seed, epoch_accesses=window, progress=progress)
        self._pace[setup.trace] = (time.perf_counter() - began) / len(trace)
        self._kept[key] = replace(result, final=result.epochs.clear())
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return self._kept[key]

    def _refine(self) -> None:
        if self.is_preview:
            setup = self.setup
            self._refiner.start(lambda progress: self._refined(setup, progress), self._deliver)

    def _refined(self, setup: Setup, progress: Progress) -> _Answer | InputError:
        try:
            return self._exact(setup, lambda: progress)
        except InputError as error:
            return error

    def _deliver(self, answer: _Answer | InputError) -> None:
        if isinstance(answer, InputError):
            self.sentence = f"The whole trace cannot be run: {answer}."
        else:
            self._answer = answer
            self.sentence = self._told() if self._lead else self._opening()
        self._show()

    def _trace(self, name: str) -> Trace | TraceFile:
        if name not in self._traces:
            self._traces[name] = load_or_open(name)
        return self._traces[name]

    def _preview_of(self, setup: Setup) -> Sampled | None:
        if any(machine.kernel is not None for machine in setup.machines):
            return None
        name = setup.trace
        if name not in self._previews:
            self._previews[name] = Sampled.of_accesses(self._trace(name), _PREVIEW_ACCESSES)
        return self._previews[name]

    # Words ------------------------------------------------------------------------------------

    def _opening(self) -> str:
        parts = [f"The program waits {drawn_ns(below_dram_ns(self.result))} below DRAM. Move a slider."]
        return " ".join([*parts, *self._endings()])

    def _told(self) -> str:
        # Of two machines, what moved and then B against A; of one, what it was before.
        answer, before = self._answer.results, self._before.results
        if len(answer) > 1:
            return " ".join([f"{self._lead}.", self._against(), *self._endings()])
        if before[0].provenance["trace"] != answer[0].provenance["trace"] or len(before) > 1:
            words = f"the program waits {drawn_ns(below_dram_ns(answer[0]))} below DRAM"
        else:
            words = change_words(before[0], answer[0])
        return " ".join([f"{self._lead}: {words}.", *self._endings()])

    def _against(self) -> str:
        one, other = self._answer.results
        if one.provenance["machine"] == other.provenance["machine"]:
            return "B is a copy of A: change one of them."
        if one.totals == other.totals:
            return "B against A: no difference."
        return f"B against A: {change_words(one, other)}."

    def _endings(self) -> Iterator[str]:
        for result in self._answer.results:
            ending = ending_words(result)
            if ending:
                yield ending
        notes = {str(note): None for r in self._answer.results for note in cast("list[str]", r.provenance["notes"])}
        yield from (f"Mind: {note}." for note in notes)

    # The screen -------------------------------------------------------------------------------

    def _show(self) -> None:
        if self._board is None:
            return
        self._version += 1
        shown = self.panels
        self._board.show(shown, self._rest())

    def _rest(self) -> dict[str, Any]:
        return {
            "serial": self._serial,
            "version": self._version,
            "took_ms": round(1e3 * (time.perf_counter() - self._asked_at), 1),
            "sentence": self.sentence,
            "badge": self.badge,
            "is_preview": self.is_preview,
            "can_undo": bool(self._past),
            "controls": list(self._controls()),
            "table": self._table(),
            "code": self.code(),
        }

    def _table(self) -> list[list[str]]:
        rows: list[list[str]] = []
        for side, result in self.results.items():
            head, *body = readable(summarise(result))
            name = f"{side}: " if len(self.setup.machines) > 1 else ""
            rows += [head] if not rows else []
            rows += [[name + first, *rest] for first, *rest in body]
        return rows

    def _controls(self) -> Iterator[dict[str, Any]]:
        setup = self.setup
        compares = len(setup.machines) > 1
        presets = {"": "choose\u2026", _START: _START} | {name: name for name in preset_names()}
        traces = {name: f"{name}: {title}" if title != name else name for name, title in self._titles.items()}
        yield self._choice("trace", "Run", "Trace", traces, setup.trace)
        yield self._choice("preset", "Run", "Preset", presets, "")
        yield self._plain("seed", "Run", "Seed", "number", setup.seed) | {
            "min": 0, "max": max(20, setup.seed), "least": 0, "step": 1, "unit": "", "size": "",
        }  # fmt: skip
        yield self._plain("compare", "Compare", "Compare two machines, A and B", "switch", compares)
        sides = {side: f"{side} only" for side in SIDES} | {BOTH: BOTH}
        yield self._choice("moves", "Compare", "Controls change", sides, setup.moves) | {"hidden": not compares}
        for part, name in TIER_NAMES.items():
            label = f"{name.removeprefix('a ').capitalize() if part == 'swapfiles' else name}"
            yield self._plain(f"has.{part}", "Tiers", label, "switch", bool(getattr(self.machine, part)))
        n_pages = self._trace(setup.trace).n_pages
        for control in CONTROLS:
            yield self._of_machine(control, n_pages)
            if control.key == "cram.media_bytes":
                yield self._plain("follows", "CRAM", "Advertised follows the media", "switch", setup.follows) | {
                    "hidden": self.machine.cram is None
                }

    def _of_machine(self, control: Control, n_pages: int) -> dict[str, Any]:
        value, why = read(self.machine, control.key), why_absent(self.machine, control)
        if isinstance(control, Choice):
            options = control.options()
            shown = dict(options) | ({value: value} if value is not None and value not in options else {})
            found = self._choice(control.key, control.group, control.label, shown, value)
        else:
            least, most, step = (0, 1, 1) if value is None else control.bounds(value, n_pages)
            found = self._plain(control.key, control.group, control.label, "number", None) | {
                "value": None if value is None else control.shown(value),
                "size": "" if value is None or not control.is_pages else f"= {control.mib(value)} MiB",
                "unit": control.unit, "min": least, "max": most, "least": control.least, "step": step,
            }  # fmt: skip
        return found | {"why": why, "hidden": bool(why)}

    def _choice(self, name: str, group: str, label: str, options: Mapping[str, str], value: object) -> dict[str, Any]:
        return self._plain(name, group, label, "choice", value) | {"options": list(options.items())}

    def _plain(self, name: str, group: str, label: str, kind: str, value: object) -> dict[str, Any]:
        refused, reason = self.refusal
        return {
            "name": name, "group": group, "label": label, "kind": kind, "value": value,
            "why": "", "hidden": False, "error": reason if refused == name else "",
        }  # fmt: skip


def _with_part(machine: Machine, part: str, value: Any) -> Machine:  # noqa: ANN401 - checked by the machine
    return replace(machine, **{part: value})


def _fitted(machine: Machine, ratio: float) -> Machine:
    settings = []
    for control in CONTROLS:
        value = read(machine, control.key)
        if isinstance(control, Number) and value and control.unit in ("pages", "slots", "MiB"):
            unit = PAGE_SIZE if control.key.endswith("_bytes") else 1
            settings.append(control.setting(max(1, round(value * ratio / unit)) * unit))
    return with_settings(machine, settings)


def _seed(value: object) -> int:
    if not is_number(value):
        raise InputError("the seed needs a number: type digits")
    found = cast(float, value)
    return checked_seed(int(found) if found == int(found) else found)


def _text(machine: Machine) -> str:
    return repr(sorted(machine.to_dict().items()))
