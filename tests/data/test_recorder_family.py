"""One trace of several processes: as the kernel would share, copy and free, in a real fork and in made-up ones."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import vswaplab as vl
from vswaplab.recorder import family

RECORDER = Path(__file__).parents[2] / "data" / "recorder"
READ, WRITE, FREE, FORK, END, MOMENT, CUT = range(7)
DUMP = np.dtype([("page", "<u8"), ("address", "<u8"), ("bytes", "u1", 4096)])


# ---- a guest that forks -------------------------------------------------------------------------

GUEST = r"""
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#define PAGE 4096L
static int to_parent[2], to_child[2];
static void tell(int *pipe_) { if (write(pipe_[1], "x", 1) != 1) _exit(1); }
static void hear(int *pipe_) { char c; if (read(pipe_[0], &c, 1) != 1) _exit(1); }
int main(void)
{
    volatile char *a = mmap(0, 16 * PAGE, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    dprintf(1, "%ld\n", (long)a / PAGE);
    if (pipe(to_parent) || pipe(to_child)) return 1;
    for (int i = 0; i < 6; i++) a[i * PAGE] = 100;
    if (!fork()) {
        for (int i = 0; i < 6; i++) (void)a[i * PAGE];
        a[1 * PAGE] = 101;                                   /* a copy */
        a[6 * PAGE] = 101;                                   /* a page of its own */
        tell(to_parent);
        hear(to_child);
        (void)a[0];                                          /* what the parent has copied away from */
        _exit(0);
    }
    hear(to_parent);
    a[0] = 102;                                              /* a copy */
    madvise((void *)(a + 2 * PAGE), PAGE, MADV_DONTNEED);    /* the child has it still */
    a[6 * PAGE] = 102;                                       /* not the child's */
    a[7 * PAGE] = 102;
    tell(to_child);
    wait(0);
    a[3 * PAGE] = 103;                                       /* in place: the child is gone */
    if (!fork()) {
        (void)a[3 * PAGE];
        (void)a[4 * PAGE];
        a[7 * PAGE] = 104;                                   /* a copy */
        _exit(0);
    }
    wait(0);
    a[4 * PAGE] = 105;                                       /* in place */
    return 0;
}
"""

# Rows of the pages a0 to a7. A page that goes on under a second number has a +. Child 1 is through
# with its reads before the parent writes; everything it maps is freed when it ends, and so with child 2.
EXPECTED = """
0 read a0 a1 a2 a3 a4 a5
1 read a0 a1 a2 a3 a4 a5
1 write a1
0 write a0
0 free a2
0 write a6 a7
1 read a0
1 free a0 a1 a2 a3 a4 a5
0 write a3
0 free a3
2 read a3+ a4
0 free a7
2 read a7+
2 write a7+
2 free a1 a3+ a4 a5 a7+
0 write a4
"""


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """The guest's trace, its totals and, by page of the guest, the numbers that the parent knew it by."""
    qemu, compiler = shutil.which("qemu-x86_64"), shutil.which("gcc")
    if not qemu or not compiler:
        pytest.skip("no qemu-x86_64 or no gcc: nothing can be recorded here")
    work = tmp_path_factory.mktemp("family")
    (work / "guest.c").write_text(GUEST)
    subprocess.run([compiler, "-O1", "-static", "-o", "guest", "guest.c"], cwd=work, check=True)
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-std=gnu11", "-fPIC", "-shared"]
    subprocess.run([compiler, *flags, "-o", "plugin.so", RECORDER / "plugin.c"], cwd=work, check=True)
    at = ":".join(map(str, range(1, 17)))  # copy contents out as often as it goes
    options = f"out=records,k=512,dump=dump,stride=1,moments={at}"
    done = subprocess.run(
        [qemu, "-cpu", "max", "-plugin", f"./plugin.so,{options}", "./guest"],
        cwd=work, check=True, capture_output=True,
    )  # fmt: skip
    trace = family.recorded(work / "records")
    locals_of = {}
    for path in work.glob("dump.*"):
        for row in np.fromfile(path, DUMP):
            locals_of[int(row["address"]) - int(done.stdout)] = int(row["page"])
    names = {}
    for numbers in trace.numbers:
        for i in range(8):
            number = numbers.get(locals_of[i])
            if number is not None and number not in names:
                names[number] = f"a{i}" + "+" * (f"a{i}" in names.values())
    return trace, json.loads((work / "records.json").read_text()), names


def test_rows_of_known_pages_are_those_of_the_guest(recording):
    trace, _, names = recording
    ops = ("read", "write", "free")
    rows = [
        (mapper, ops[op], names[page])
        for page, op, mapper in trace.table.select("page", "op", "mapper").iter_rows()
        if page in names
    ]
    lines = [line.split() for line in EXPECTED.strip().splitlines()]
    assert rows == [(int(mapper), op, page) for mapper, op, *pages in lines for page in pages]


def test_mapper_sets_are_those_of_the_forks(recording):
    trace, _, names = recording
    sets = {name: trace.facts["mappers"][page] for page, name in names.items()}
    both, all_three = 0b011, 0b111
    assert sets == {
        "a0": both, "a1": all_three, "a2": both, "a3": both, "a4": all_three, "a5": all_three,
        "a6": 0b001, "a7": 0b001, "a3+": 0b101, "a7+": 0b101,
    }  # fmt: skip


def test_a_page_of_the_child_alone_has_a_number_of_its_own(recording):
    trace, _, _ = recording
    mine = [page for page, mappers in enumerate(trace.facts["mappers"]) if mappers == 0b010]
    assert len(mine) == 1
    rows = trace.table.filter(page=mine[0]).select("op", "mapper").rows()
    assert rows == [(WRITE, 1), (FREE, 1)]


def test_family_totals_add_up(recording):
    trace, totals, _ = recording
    table, facts = trace.table, trace.facts
    assert totals["n_children"] == 2
    assert facts["n_processes"] == 3
    touches = table.filter(table["op"] != FREE)
    assert facts["n_accesses"] == len(touches) + touches["repeat_reads"].sum() + touches["repeat_writes"].sum()
    assert facts["n_pages"] == len(facts["mappers"]) == table["page"].max() + 1
    assert facts["n_renewed"] >= 2


def test_vswaplab_counts_the_copies_of_the_guest(recording):
    trace, _, names = recording
    loaded = as_trace(trace)
    copied = loaded.sharing.copied_from
    assert (copied >= 0).sum() == trace.facts["n_copies"]
    assert [names[page] for page in copied[copied >= 0] if page in names] == ["a1", "a0", "a7+"]


# ---- made-up families ---------------------------------------------------------------------------


class Kernel:
    """Frames as sets of who maps them, for random programs; records as the plugin would write them."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.time = self.n_copies = self.n_frames = 0
        self.streams: list[list[tuple[int, int, int, int, int]]] = [[]]
        self.maps: dict[int, dict[int, int]] = {0: {}}
        self.seen: dict[int, int] = {}
        self.next_local = [0]

    def note(self, process: int, page: int, op: int, tag: int = 0) -> None:
        self.time += 1
        self.streams[process].append((self.time, page, op, tag, 0))

    def touch(self, process: int, op: int) -> None:
        local = self.rng.randrange(min(self.next_local[process] + 1, 9))
        self.next_local[process] = max(self.next_local[process], local + 1)
        mine = self.maps[process]
        shared = local in mine and any(mine[local] in other.values() for p, other in self.maps.items() if p != process)
        if local not in mine or (op == WRITE and shared):
            self.n_copies += local in mine and len(self.streams) > 1
            mine[local] = self.n_frames
            self.n_frames += 1
        self.note(process, local, op, self.time + 1)
        self.seen[self.time] = mine[local]

    def step(self) -> None:
        process = self.rng.choice(list(self.maps))
        mine = self.maps[process]
        what = self.rng.random()
        if what < 0.04 and len(self.streams) < 5:
            child = len(self.streams)
            self.note(process, child, FORK)
            self.streams.append([])
            self.maps[child] = dict(mine)
            self.next_local.append(self.next_local[process])
        elif what < 0.06 and len(self.maps) > 1:
            self.note(process, process, END)
            del self.maps[process]
        elif what < 0.15 and mine:
            local = self.rng.choice(list(mine))
            del mine[local]
            self.note(process, local, FREE)
        else:
            self.touch(process, WRITE if what < 0.45 else READ)

    def run(self, n: int) -> list[np.ndarray]:
        for _ in range(n):
            self.step()
        for process in sorted(self.maps, reverse=True):
            self.note(process, process, END)
        return [np.array(stream, family.RECORD) for stream in self.streams]


def as_trace(recorded) -> vl.Trace:
    columns = {name: recorded.table[name].to_numpy() for name in ("page", "op", "mapper")}
    return vl.Trace(**columns, mappers=recorded.facts["mappers"], n_pages=recorded.facts["n_pages"])


@pytest.mark.parametrize("seed", range(60))
def test_a_merged_family_shares_copies_and_frees_as_the_kernel_does(seed):
    kernel = Kernel(seed)
    processes = kernel.run(300)
    if len(processes) == 1:
        return
    merged = family.merged(processes)
    sharing = as_trace(merged).sharing
    assert (sharing.copied_from >= 0).sum() == kernel.n_copies == merged.facts["n_copies"]
    frame_of: dict[int, int] = {}
    rows = zip(sharing.page.tolist(), sharing.op.tolist(), merged.table["repeat_reads"].to_list(), strict=True)
    for page, op, tag in rows:
        if op == FREE:
            frame_of.pop(page, None)
        elif op <= WRITE and tag:  # a row without a tag is none of the program's
            assert frame_of.setdefault(page, kernel.seen[tag]) == kernel.seen[tag]


@pytest.mark.parametrize("seed", range(20))
def test_a_merged_family_holds_as_many_pages_as_the_kernel(seed):
    """At the end the last process is alone; a renewed page is freed before it goes on."""
    kernel = Kernel(seed)
    processes = kernel.run(300)
    if len(processes) == 1:
        return
    sharing = as_trace(family.merged(processes)).sharing
    live: set[int] = set()
    for page, op in zip(sharing.page.tolist(), sharing.op.tolist(), strict=True):
        live.discard(page) if op == FREE else live.add(page) if op <= WRITE else None
    last = min(kernel.maps)
    assert len(live) == len(kernel.maps[last])


def test_a_lone_process_is_recorded_as_it_is(tmp_path):
    records = [(1, 0, WRITE, 0, 2), (2, 1, READ, 1, 0), (3, 0, MOMENT, 0, 0), (4, 0, FREE, 0, 0), (5, 0, END, 0, 0)]
    np.array(records, family.RECORD).tofile(tmp_path / "records")
    trace = family.recorded(tmp_path / "records")
    assert trace.table.rows() == [(0, WRITE, 0, 2), (1, READ, 1, 0), (0, FREE, 0, 0)]
    assert trace.moments == [2]
    assert trace.numbers is None


def test_a_process_without_an_end_is_refused(tmp_path):
    np.array([(1, 1, FORK, 0, 0), (3, 0, END, 0, 0)], family.RECORD).tofile(tmp_path / "records")
    np.array([(2, 0, WRITE, 0, 0)], family.RECORD).tofile(tmp_path / "records.1")
    with pytest.raises(vl.InputError, match="process 1"):
        family.recorded(tmp_path / "records", whole=True)


def test_a_process_that_was_cut_off_keeps_what_it_has(tmp_path):
    np.array([(1, 0, WRITE, 0, 0), (2, 1, FORK, 0, 0), (4, 0, CUT, 0, 0)], family.RECORD).tofile(tmp_path / "records")
    whole = np.array([(3, 0, READ, 0, 0), (5, 0, READ, 0, 0)], family.RECORD).tobytes()
    (tmp_path / "records.1").write_bytes(whole[:-1])  # killed while it wrote
    rows = family.recorded(tmp_path / "records").table.select("page", "op", "mapper").rows()
    assert rows == [(0, READ, 0), (0, READ, 1)]  # nobody frees at the end: nobody ended


def test_a_child_beyond_the_seventh_is_left_out():
    parent = [(1, 0, WRITE, 0, 0), *((1 + n, n, FORK, 0, 0) for n in range(1, 9)), (20, 0, END, 0, 0)]
    streams = [parent, *([(10 + n, n, END, 0, 0)] for n in range(1, 8))]
    merged = family.merged([np.array(stream, family.RECORD) for stream in streams])
    assert merged.facts["mappers"] == [255]


def test_a_page_without_a_touch_since_the_fork_stays_as_it_was():
    parent = [(1, 0, WRITE, 0, 0), (2, 1, FORK, 0, 0), (4, 0, WRITE, 0, 0), (5, 2, FORK, 0, 0), (7, 0, WRITE, 0, 0)]
    ends = [[(3, 1, END, 0, 0)], [(6, 2, END, 0, 0)]]
    streams = [[*parent, (8, 0, END, 0, 0)], *ends]
    merged = family.merged([np.array(stream, family.RECORD) for stream in streams])
    rows = merged.table.select("page", "op", "mapper").rows()
    assert rows == [(0, READ, 0), (0, FREE, 1), (0, WRITE, 0), (0, WRITE, 0)]
    assert merged.facts["n_renewed"] == 0
