"""The columns of a page corpus: codecs and granules that pages are measured under."""

from __future__ import annotations

SIZE_COLUMNS: dict[str, str] = {
    "lz4_4k": "LZ4, whole page",
    "lzo_4k": "LZO1X, whole page",
    "zstd1_4k": "zstd level 1, whole page",
    "zstd3_4k": "zstd level 3, whole page",
    "deflate1_4k": "deflate level 1, whole page",
    "deflate_fixed_4k": "deflate level 1 with fixed Huffman codes, whole page",
    "lz4_1k": "LZ4, four 1 KiB blocks",
    "deflate1_1k": "deflate level 1, four 1 KiB blocks",
    "bdi_64": "base-delta-immediate, 64 lines of 64 bytes",
}
"""Size columns of every corpus: compressed bytes of a page, 1..4096."""

MORE_COLUMNS: dict[str, str] = {
    "fpc_64": "frequent pattern compression, 64 lines of 64 bytes",
    "w842_4k": "842, whole page",
}
"""Columns that measured corpora have besides, and made-up ones have not."""

OWN = "own_"
"""How the name of a size column of one's own begins."""

RAW = "raw"
"""The column every corpus has without storing it: 4096 bytes a page."""

FACT_COLUMNS = ("page", "region", "is_zero", "same_filled", "moment")
"""Columns of a corpus that are no sizes."""
