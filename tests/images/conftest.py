"""Images made by hand: pages whose kind is known, and core dumps byte by byte."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

PAGE = 4096
ZERO = bytes(PAGE)
TEXT = (b"virtual swap " * 400)[:PAGE]
NOISE = np.random.default_rng(8).bytes(PAGE)
WRITABLE, READABLE = 6, 4


def core_bytes(
    segments: list[tuple[int, int, bytes]], *, n_headers: int | None = None, machine: int = 2, kind: int = 4
) -> bytes:
    """An ELF core of segments (address, flags, bytes); class 2 is 64 bits; ``n_headers`` lies about their number."""
    head, entry = (64, 56) if machine == 2 else (52, 32)
    at = head + entry * len(segments)
    headers, bodies = b"", b""
    for address, flags, body in segments:
        if machine == 2:
            headers += struct.pack("<IIQQQQQQ", 1, flags, at, address, 0, len(body), len(body), PAGE)
        else:
            headers += struct.pack("<IIIIIIII", 1, at, address, 0, len(body), len(body), flags, PAGE)
        bodies += body
        at += len(body)
    count = len(segments) if n_headers is None else n_headers
    ident = b"\x7fELF" + bytes([machine, 1, 1]) + bytes(9)
    if machine == 2:
        rest = struct.pack("<HHIQQQIHHHHHH", kind, 62, 1, 0, head, 0, 0, head, entry, count, 64, 0, 0)
    else:
        rest = struct.pack("<HHIIIIIHHHHHH", kind, 3, 1, 0, head, 0, 0, head, entry, count, 40, 0, 0)
    return ident + rest + headers + bodies


@pytest.fixture
def write(tmp_path: Path):
    """Put bytes into a file."""

    def put(data: bytes, name: str = "image") -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return put
