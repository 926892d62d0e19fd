"""The programs that are recorded and the inputs they get. Every input is made from a seed.

A program runs in a directory of its own; `prepare` fills that directory and returns the command to
run in it. Commands name files by relative paths only, because they are shipped with the data.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import accumulate, islice
from pathlib import Path

GUESTS = Path(__file__).parent / "guests"
SEED = 20261123
WORDS = tuple(
    """
    page cache swap slot folio fault reclaim writeback region granule tier device latency
    request response session user order cart search index shard replica leader follower retry
    timeout success failure created updated deleted pending stored loaded shipped refused
    """.split()  # noqa: SIM905 (37 words read better in rows)
)


@dataclass(frozen=True)
class Program:
    """One recorded program.

    `k` is the reducer's block size in pages; `moments` are the shares of the record stream at which
    contents are read; `drive`, if given, runs beside the program and makes it work and end.
    """

    name: str
    title: str
    what: str
    k: int
    prepare: Callable[[Path], list[str]]
    versions: Callable[[], dict[str, str]]
    drive: Callable[[Path], None] | None = None
    moments: tuple[float, ...] = (0.2, 0.45, 0.7, 0.95)
    environment: dict[str, str] = field(default_factory=dict)


def first_line(*command: str) -> str:
    """First line a command prints, as a version string."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")[0]


def zipf_ranks(n: int, exponent: float, rng: random.Random) -> Iterator[int]:
    """Endless ranks 0..n-1 with probability proportional to (rank + 1) ** -exponent."""
    cumulative = list(accumulate((rank + 1) ** -exponent for rank in range(n)))
    while True:
        yield from rng.choices(range(n), cum_weights=cumulative, k=1000)


# ---- compile ------------------------------------------------------------------------------------


def c_function(number: int, rng: random.Random) -> str:
    """One C function with a loop, a switch and calls to earlier functions."""
    cases = "\n".join(
        f"    case {i}: total {rng.choice(('+=', '^=', '-='))} "
        f"(long){rng.choice(WORDS)}_table[(i * {rng.randrange(1, 99)} + {i}) % 64] "
        f"{rng.choice(('*', '+', '|', '&'))} s->{rng.choice('abcd')}; break;"
        for i in range(rng.randrange(4, 14))
    )
    callee = f"f{rng.randrange(number)}(s, n - 1)" if number else "n"
    return f"""
long f{number}(struct state *s, int n)
{{
  long total = {rng.randrange(1000)};
  double mean = s->x;
  for (int i = 0; i < n; i++) {{
    switch ((s->a + i) % {rng.randrange(5, 15)}) {{
{cases}
    default: mean = mean * {rng.random():.4f} + (double)total; s->b += i;
    }}
    if (total > {rng.randrange(10**6)}) total = {callee} % {rng.randrange(2, 999)};
  }}
  s->x = mean;
  return total + s->{rng.choice("abcd")};
}}"""


def c_header(n: int, rng: random.Random) -> str:
    """Write what large C projects include: types, prototypes and inline functions, most never used."""
    parts = []
    for number in range(n):
        one, two = rng.sample(WORDS, 2)
        parts.append(f"""
struct {one}_{number} {{ struct {one}_{number} *next; long {two}, size_{number}; char name[{number % 60 + 4}]; }};
enum {two}_kind_{number} {{ {two}_NONE_{number}, {two}_SOME_{number} = {number}, {two}_ALL_{number} }};
extern struct {one}_{number} *{two}_find_{number}(const char *name, enum {two}_kind_{number} kind);
static inline long {one}_count_{number}(const struct {one}_{number} *list, long limit)
{{
  long n = 0;
  for (; list && n < limit; list = list->next) n += list->{two} > {rng.randrange(99)} ? list->size_{number} : 1;
  return n;
}}""")
    return "\n".join(parts)


def c_source(n_functions: int, n_types: int) -> str:
    """Write a self-contained C file of the kind a preprocessor leaves of a large project."""
    rng = random.Random(SEED)
    tables = "\n".join(
        f"static const int {word}_table[64] = {{{', '.join(str(rng.randrange(999)) for _ in range(64))}}};"
        for word in WORDS
    )
    functions = "\n".join(c_function(number, rng) for number in range(n_functions))
    state = "struct state { long a, b, c, d; double x; };"
    return "\n".join((c_header(n_types, rng), state, tables, functions, ""))


def prepare_compile(work: Path) -> list[str]:
    """cc1 on a generated file, with the garbage collector set as for a small machine."""
    (work / "generated.c").write_text(c_source(8, 7200))
    cc1 = first_line("gcc", "-print-prog-name=cc1")
    collector = ["--param", "ggc-min-expand=30", "--param", "ggc-min-heapsize=24576"]
    return [cc1, "-quiet", "-O2", *collector, "generated.c", "-o", "generated.s"]


# ---- sort ---------------------------------------------------------------------------------------


def log_lines(n: int) -> Iterator[str]:
    """Log records of about 720 bytes, with a skewed vocabulary and a random key in front."""
    rng = random.Random(SEED)
    ranks = zipf_ranks(len(WORDS), 0.8, rng)
    for number in range(n):
        text = " ".join(WORDS[next(ranks)] for _ in range(rng.randrange(80, 130)))
        yield (
            f"{rng.getrandbits(40):010x} 2026-11-{1 + number % 28:02d} id={number} "
            f"user={int(rng.paretovariate(0.7)) % 100_000} size={rng.randrange(10**6)} {text}\n"
        )


def prepare_sort(work: Path) -> list[str]:
    """GNU sort of a file of 1.6 times its buffer: two sorted runs in memory, then a merge."""
    with (work / "log.txt").open("w") as file:
        file.writelines(log_lines(150_000))
    return ["/usr/bin/sort", "--parallel=1", "-S", "64M", "-T", ".", "log.txt", "-o", "sorted.txt"]


# ---- sqlite -------------------------------------------------------------------------------------


def sql_script(n_rows: int, n_queries: int, n_rounds: int) -> str:
    """Build a table and two indexes, then query and update it with a moving skew."""
    noise = "(({0} * 2654435761 + {1}) & 2147483647)"
    words = ", ".join(f"({i}, '{word}')" for i, word in enumerate(WORDS))
    rounds = []
    for number in range(n_rounds):
        draw = noise.format("i", 7919 * (number + 1)) + " / 2147483648.0"
        skewed = f"CAST({n_rows} * pow({draw}, 4) + {number * n_rows // n_rounds} AS INTEGER) % {n_rows} + 1"
        rounds.append(f"""
WITH RECURSIVE q(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM q WHERE i < {n_queries})
SELECT count(*), sum(amount) FROM q JOIN orders ON orders.id = {skewed};
WITH RECURSIVE q(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM q WHERE i < {n_queries // 40})
SELECT count(*), sum(o.amount) FROM q JOIN orders o ON o.customer =
  CAST(20000 * pow({draw}, 3) AS INTEGER);
UPDATE orders SET amount = amount * 1.01, status = 'updated'
  WHERE id IN (WITH RECURSIVE q(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM q
    WHERE i < {n_queries // 8}) SELECT {skewed} FROM q);""")
    return f"""
CREATE TABLE word(id INTEGER PRIMARY KEY, text TEXT);
INSERT INTO word VALUES {words};
CREATE TABLE orders(id INTEGER PRIMARY KEY, customer INTEGER, amount REAL, status TEXT, note TEXT);
WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < {n_rows})
INSERT INTO orders SELECT i, {noise.format("i", 12345)} % 20000,
  ({noise.format("i", 777)} % 100000) / 100.0, 'created',
  (SELECT text FROM word WHERE id = {noise.format("i", 3)} % {len(WORDS)}) || ' ' ||
  hex(i * 48271) || ' ' ||
  (SELECT text FROM word WHERE id = {noise.format("i", 5)} % {len(WORDS)}) || printf(' %064d', i)
  FROM n;
CREATE INDEX orders_customer ON orders(customer);
CREATE INDEX orders_amount ON orders(amount);
{"".join(rounds)}
SELECT status, count(*), sum(amount) FROM orders GROUP BY status;
DELETE FROM orders WHERE customer % 25 = 0;
SELECT count(*), sum(amount) FROM orders;
"""


def prepare_sqlite(work: Path) -> list[str]:
    """Run the sqlite3 shell on a database held in memory."""
    (work / "orders.sql").write_text(sql_script(295_000, 16_000, 4))
    return ["/usr/bin/sqlite3", "-init", "orders.sql", ":memory:", ".quit"]


# ---- python guests ------------------------------------------------------------------------------


def prepare_guest(script: str) -> Callable[[Path], list[str]]:
    """Run one of the scripts in `guests/` with this interpreter."""

    def prepare(work: Path) -> list[str]:
        shutil.copy(GUESTS / script, work)
        return [sys.executable, "-B", script, str(SEED)]

    return prepare


def python_versions(*packages: str) -> Callable[[], dict[str, str]]:
    """Versions of CPython and of these packages."""
    return lambda: {"CPython": sys.version.split()[0], **{name: version(name) for name in packages}}


# ---- redis --------------------------------------------------------------------------------------

REDIS_KEYS = 110_000


def prepare_redis(work: Path) -> list[str]:
    """redis-server on a unix socket, without persistence."""
    del work
    return [
        "/usr/bin/redis-server", "--port", "0", "--unixsocket", "redis.sock", "--save", "",
        "--appendonly", "no", "--daemonize", "no",
    ]  # fmt: skip


def redis_command(*parts: str) -> bytes:
    """One command in the protocol of redis."""
    body = "".join(f"${len(part)}\r\n{part}\r\n" for part in parts)
    return f"*{len(parts)}\r\n{body}".encode()


def redis_value(key: int, rng: random.Random) -> str:
    """Make a small JSON document of 200 to 1,500 bytes."""
    tags = ", ".join(f'"{rng.choice(WORDS)}": {rng.randrange(1000)}' for _ in range(rng.randrange(8, 70)))
    return f'{{"id": {key}, "token": "{rng.getrandbits(256):064x}", "tags": {{{tags}}}}}'


def redis_load(n_keys: int = REDIS_KEYS) -> Iterator[bytes]:
    """Set every key once."""
    rng = random.Random(SEED)
    for key in range(n_keys):
        yield redis_command("SET", f"user:{key:06d}", redis_value(key, rng))


def redis_phase(n: int, shift: int, write_share: float, n_keys: int = REDIS_KEYS) -> Iterator[bytes]:
    """Be a Zipf(0.9) client whose hot keys are scattered over memory and move with `shift`."""
    rng = random.Random(SEED + shift)
    ranks = zipf_ranks(n_keys, 0.9, rng)
    for _ in range(n):
        key = (next(ranks) * 7919 + shift) % n_keys
        name = f"user:{key:06d}"
        if rng.random() < write_share:
            yield redis_command("SET", name, redis_value(key, rng))
        else:
            yield redis_command("GET", name)


def redis_delete(first: int, last: int) -> Iterator[bytes]:
    """Delete a range of keys."""
    for key in range(first, last):
        yield redis_command("DEL", f"user:{key:06d}")


def redis_stream() -> Iterator[bytes]:
    """Load, serve, move the hot set, delete a third, serve again."""
    yield from redis_load()
    yield from redis_phase(34_000, 0, 0.05)
    yield from redis_phase(34_000, 40_000, 0.25)
    yield from redis_delete(0, REDIS_KEYS // 3)
    yield redis_command("MEMORY", "PURGE")
    yield from redis_phase(24_000, 20_000, 0.10)


def skip_replies(stream: socket.SocketIO, n: int) -> None:
    """Read n replies: simple strings, integers, bulk strings."""
    for _ in range(n):
        head = stream.readline()
        if head.startswith(b"$") and int(head[1:]) >= 0:
            stream.read(int(head[1:]) + 2)


def connect(path: Path, patience_s: float = 60) -> socket.socket:
    """Connect to a unix socket that a server is about to open."""
    deadline = time.monotonic() + patience_s
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(path))
        except OSError:
            connection.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return connection


def drive_redis(work: Path) -> None:
    """Send the stream in pipelines of 16 commands, then shut the server down."""
    with connect(work / "redis.sock") as connection, connection.makefile("rb") as replies:
        commands = redis_stream()
        while batch := [command for command, _ in zip(commands, range(16), strict=False)]:
            connection.sendall(b"".join(batch))
            skip_replies(replies, len(batch))  # type: ignore[arg-type]
        with contextlib.suppress(OSError):
            connection.sendall(redis_command("SHUTDOWN", "NOSAVE"))
            connection.recv(1)


# ---- redis, saving -------------------------------------------------------------------------------

BGSAVE_KEYS = 80_000


def prepare_bgsave(work: Path) -> list[str]:
    """redis-server that saves when told to, by a forked child."""
    return [*prepare_redis(work), "--dbfilename", "dump.rdb"]


def talk(connection: socket.socket, replies: socket.SocketIO, commands: Iterable[bytes]) -> None:
    """Send commands in pipelines of 16 and read their replies."""
    waiting = iter(commands)
    while batch := list(islice(waiting, 16)):
        connection.sendall(b"".join(batch))
        skip_replies(replies, len(batch))


def is_saving(connection: socket.socket, replies: socket.SocketIO) -> bool:
    """Ask whether the child is still there."""
    connection.sendall(redis_command("INFO", "persistence"))
    return b"rdb_bgsave_in_progress:1" in replies.read(int(replies.readline()[1:]) + 2)


def drive_bgsave(work: Path) -> None:
    """Load and serve, have the server fork a child that saves, serve while it does and afterwards."""
    with connect(work / "redis.sock") as connection, connection.makefile("rb") as replies:
        served = redis_phase(62_000, 0, 0.20, BGSAVE_KEYS)
        talk(connection, replies, redis_load(BGSAVE_KEYS))
        talk(connection, replies, islice(served, 12_000))
        talk(connection, replies, [redis_command("BGSAVE")])
        talk(connection, replies, served)
        while is_saving(connection, replies):
            time.sleep(0.05)
        talk(connection, replies, redis_phase(12_000, 30_000, 0.10, BGSAVE_KEYS))
        with contextlib.suppress(OSError):
            connection.sendall(redis_command("SHUTDOWN", "NOSAVE"))
            connection.recv(1)


# ---- the table ----------------------------------------------------------------------------------

PROGRAMS = {
    program.name: program
    for program in (
        Program(
            name="compile",
            title="GCC compiling one large generated C file at -O2",
            what="cc1 on 8 functions and 7,200 unused types; garbage collector set as on a small machine",
            k=1024,
            prepare=prepare_compile,
            versions=lambda: {"gcc": first_line("gcc", "-dumpfullversion")},
        ),
        Program(
            name="sort",
            title="GNU sort of a text file larger than its buffer",
            what="150,000 log lines of about 720 bytes; two runs sorted in memory, then merged",
            k=1024,
            prepare=prepare_sort,
            versions=lambda: {"coreutils": first_line("sort", "--version").split()[-1]},
            environment={"LC_ALL": "C"},
        ),
        Program(
            name="sqlite",
            title="SQLite building and querying an indexed table in memory",
            what="295,000 rows, two indexes, four rounds of skewed look-ups and updates, a small delete",
            k=1024,
            prepare=prepare_sqlite,
            versions=lambda: {"sqlite3": first_line("sqlite3", "--version").split()[0]},
        ),
        Program(
            name="polars",
            title="Polars joining and summing up sales of six regions",
            what="guests/polars_queries.py, one worker thread",
            k=1536,
            prepare=prepare_guest("polars_queries.py"),
            versions=python_versions("polars", "numpy"),
            environment={"POLARS_MAX_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        ),
        Program(
            name="graph",
            title="Graph walks over a scale-free network of Python objects",
            what="guests/graph_walk.py: build, breadth-first search, page rank, random walks",
            k=1024,
            prepare=prepare_guest("graph_walk.py"),
            versions=python_versions("networkx"),
        ),
        Program(
            name="redis",
            title="Redis serving a skewed client whose hot keys move",
            what="110,000 JSON values; Zipf(0.9) reads and writes, a moved hot set, a delete of a third",
            k=1024,
            prepare=prepare_redis,
            versions=lambda: {"redis-server": first_line("redis-server", "--version").split()[2][2:]},
            drive=drive_redis,
        ),
        Program(
            name="bgsave",
            title="Redis serving a client while a forked child saves the heap",
            what="80,000 JSON values; Zipf(0.9), a fifth writes; BGSAVE, 50,000 commands on, 12,000 for other hot keys",
            k=1024,
            prepare=prepare_bgsave,
            versions=lambda: {"redis-server": first_line("redis-server", "--version").split()[2][2:]},
            drive=drive_bgsave,
        ),
    )
}
