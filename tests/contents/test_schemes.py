"""The schemes computed in numpy against obvious versions, one word and one line at a time."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest

from vswaplab.contents import schemes

WINDOWS = {8: 256, 4: 512, 2: 256}
Token = tuple[str, int, int]
"""Kind (data, index, zeros, repeat), bytes it stands for, value or index or count."""


def pages():
    """Pages of many kinds: noise, text, small integers, pointers, repeats, zeros."""
    rng = np.random.default_rng(842)
    words = np.array([b"page", b"swap", b"slot", b"zero", b"\0\0\0\0"])
    kinds = [
        rng.integers(0, 256, (4, 4096), dtype=np.uint8),
        rng.choice(words, (4, 1024)).view("u1").reshape(4, 4096),
        rng.integers(-200, 200, (4, 1024), dtype=np.int32).view("u1"),
        (0x7F0000000000 + rng.integers(0, 1 << 18, (4, 512)) * 16).view("u1"),
        np.repeat(rng.integers(0, 5, (4, 32)), 16, axis=1).view("u1"),
        rng.integers(0, 40, (4, 2048), dtype=np.uint16).view("u1"),
        np.repeat(rng.integers(1, 9, (2, 2)), 256, axis=1).view("u1"),
        np.zeros((1, 4096), dtype=np.uint8),
        np.full((1, 4096), 7, dtype=np.uint8),
    ]
    return np.concatenate(kinds)


# ---- 842 ----------------------------------------------------------------------------------------


def new_windows():
    return {width: deque(maxlen=length) for width, length in WINDOWS.items()}


def remember(windows, word: bytes):
    for width, window in windows.items():
        window.extend(word[i : i + width] for i in range(0, 8, width))


def split(windows, piece: bytes) -> list[Token]:
    """An index if the piece is in its window, else its two halves; two bytes stay data."""
    width = len(piece)
    if piece in windows[width]:
        return [("index", width, windows[width].index(piece))]
    if width == 2:
        return [("data", width, int.from_bytes(piece, "little"))]
    return split(windows, piece[: width // 2]) + split(windows, piece[width // 2 :])


def encode(page: bytes) -> list[list[Token]]:
    """One list of tokens a template."""
    windows, last, out = new_windows(), None, []
    for start in range(0, 4096, 8):
        word = page[start : start + 8]
        if word == last and out[-1][0][0] == "repeat" and out[-1][0][2] < 64:
            out[-1] = [("repeat", 8, out[-1][0][2] + 1)]
        elif word == last:
            out.append([("repeat", 8, 1)])
        elif word == bytes(8):
            out.append([("zeros", 8, 0)])
        else:
            out.append(split(windows, word))
        remember(windows, word)
        last = word
    return out


def decode(templates: list[list[Token]]) -> bytes:
    windows, page = new_windows(), b""
    for template in templates:
        word = b""
        for kind, width, value in template:
            if kind == "repeat":
                for _ in range(value - 1):
                    remember(windows, page[-8:])
                    page += page[-8:]
                word = page[-8:]
            elif kind == "zeros":
                word = bytes(8)
            else:
                word += windows[width][value] if kind == "index" else value.to_bytes(width, "little")
        remember(windows, word)
        page += word
    return page


def template_bits(template: list[Token]) -> int:
    """Five bits of opcode and what it carries."""
    cost = {"repeat": {8: 6}, "zeros": {8: 0}, "index": {8: 8, 4: 9, 2: 8}, "data": {2: 16}}
    return 5 + sum(cost[kind][width] for kind, width, _ in template)


def test_842_sizes_are_those_of_a_stream_that_can_be_decoded():
    for page, size in zip(pages(), schemes.w842_sizes(pages()), strict=True):
        templates = encode(page.tobytes())
        assert decode(templates) == page.tobytes()
        bits = sum(map(template_bits, templates)) + 5 + 32
        assert size == min(4096, -(-bits // 64) * 8)


def test_842_of_a_zero_page():
    """One zeros template, 511 repeats in 8 templates of 11 bits, end, checksum."""
    assert schemes.w842_sizes(np.zeros((1, 4096), np.uint8))[0] == -(-(5 + 8 * 11 + 37) // 64) * 8


# ---- lines --------------------------------------------------------------------------------------


def bdi_line_bits(line: bytes) -> int:
    words = [line[i : i + 8] for i in range(0, 64, 8)]
    if not any(line):
        return 8 + 4
    if len(set(words)) == 1:
        return 64 + 4
    best = 8 * 64
    for width, delta in ((8, 1), (8, 2), (8, 4), (4, 1), (4, 2), (2, 1)):
        values = [int.from_bytes(line[i : i + width], "little", signed=True) for i in range(0, 64, width)]
        limit = 1 << (8 * delta - 1)
        based = [v for v in values if not -limit <= v < limit]
        if all(-limit <= wrap(v - based[0], width) < limit for v in based):
            best = min(best, 8 * (width + delta * len(values)) + len(values))
    return best + 4


def wrap(value: int, width: int) -> int:
    """The difference as the machine's integers of this width have it."""
    half = 1 << (8 * width - 1)
    return (value + half) % (2 * half) - half


def fpc_line_bits(line: bytes) -> int:
    bits, zeros = 0, 0
    for i in range(0, 64, 4):
        octets = line[i : i + 4]
        if not any(octets):
            bits += 6 if zeros % 8 == 0 else 0
            zeros += 1
            continue
        zeros = 0
        bits += 3 + fpc_data_bits(octets)
    return bits


def fpc_data_bits(octets: bytes) -> int:
    word = int.from_bytes(octets, "little", signed=True)
    halves = [int.from_bytes(octets[i : i + 2], "little", signed=True) for i in (0, 2)]
    if -8 <= word < 8:
        return 4
    if -128 <= word < 128 or len(set(octets)) == 1:
        return 8
    if -32768 <= word < 32768 or halves[0] == 0 or all(-128 <= half < 128 for half in halves):
        return 16
    return 32


@pytest.mark.parametrize(
    ("sizes", "line_bits"), [(schemes.bdi_sizes, bdi_line_bits), (schemes.fpc_sizes, fpc_line_bits)]
)
def test_line_schemes_equal_the_obvious_ones(sizes, line_bits):
    for page, size in zip(pages(), sizes(pages()), strict=True):
        raw = page.tobytes()
        bits = sum(line_bits(raw[i : i + 64]) for i in range(0, 4096, 64))
        assert size == min(4096, -(-bits // 8))
