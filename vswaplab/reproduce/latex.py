"""A table as LaTeX: a tabular that compiles with no package, units in the heads."""

from __future__ import annotations

import re
import unicodedata

from vswaplab.reproduce.parts import Table

_UNITS = {
    "ns": "ns",
    "us": r"$\mu$s",
    "ms": "ms",
    "s": "s",
    "bytes": "bytes",
    "kib": "KiB",
    "mib": "MiB",
    "gib": "GiB",
    "pages": "pages",
    "slots": "slots",
    "accesses": "accesses",
    "percent": r"\%",
    "share": "share of 1",
}
"""Last word of a column's name: its unit."""

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "µ": r"$\mu$",
    "\u00d7": r"$\times$",
    "\u2212": "$-$",
    "\u2013": "--",
    "\u03bc": r"$\mu$",
    "→": r"$\to$",
    "²": "$^2$",
    "≥": r"$\ge$",
    "≤": r"$\le$",
    **{special: f"\\{special}" for special in "&%$#_{}"},
}

_ACCENTS = frozenset("\u0300\u0301\u0302\u0303\u0308\u030a\u030c\u0327")
"""Those of Western letters, which plain LaTeX sets."""


def latex_table(table: Table) -> str:
    r"""Write a table as a LaTeX ``tabular``, to be read with ``\input``.

    Numbers have thousands separators and four significant digits; the CSV
    beside it has all of them.

    Examples
    --------
    >>> print(latex_table(Table("t", ["tier", "stall_ns"], ["stall_ns"], "tier,stall_ns\na_b,12345\n,\n")))
    % t: units in the heads; every digit is in t.csv
    \begin{tabular}{lr}
    \hline
    tier & stall (ns) \\
    \hline
    a\_b & 12,345 \\
    -- & -- \\
    \hline
    \end{tabular}
    <BLANKLINE>
    """
    is_number = [column in table.numeric for column in table.columns]
    lines = [
        f"% {table.name}: units in the heads; every digit is in {table.name}.csv",
        rf"\begin{{tabular}}{{{''.join('r' if number else 'l' for number in is_number)}}}",
        r"\hline",
        _row([head(column) for column in table.columns]),
        r"\hline",
        *(
            _row([_number(cell) if number else _text(cell) for cell, number in zip(row, is_number, strict=True)])
            for row in table.rows
        ),
        r"\hline",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def head(column: str) -> str:
    r"""Say a column's name in words, its unit in brackets.

    Examples
    --------
    >>> head("stall_ns"), head("mib"), head("error_percent"), head("idle, ms"), head("pages")
    ('stall (ns)', 'MiB', 'error (\\%)', 'idle, ms', 'pages')
    """
    *words, last = column.split("_")
    unit = _UNITS.get(last.lower())
    if unit is None:
        return escape(column.replace("_", " "))
    return f"{escape(' '.join(words))} ({unit})" if words else unit


def escape(text: str) -> str:
    r"""Write text so that LaTeX prints it; a letter that plain LaTeX does not know stands as its code point.

    Examples
    --------
    >>> print(escape("50 % of a_b & {c}"))
    50 \% of a\_b \& \{c\}
    """
    return "".join(map(_letter, " ".join(text.split())))


def _letter(letter: str) -> str:
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    parts = unicodedata.normalize("NFD", letter)
    is_known = " " <= parts[0] <= "~" and letter < "\u0180" and _ACCENTS.issuperset(parts[1:])
    return letter if is_known else f"(U+{ord(letter):04X})"


def _row(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _text(cell: str) -> str:
    return escape(cell) if cell else "--"


def _number(cell: str) -> str:
    if not re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", cell, re.IGNORECASE):
        return _text(cell)  # null, NaN, infinity
    value = float(cell)
    if re.fullmatch(r"[-+]?\d+", cell):
        shown = f"{int(cell):,}"
    else:
        shown = f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"
    mantissa, _, exponent = shown.partition("e")
    sign, digits = ("$-$", mantissa[1:]) if mantissa.startswith("-") else ("", mantissa)
    return f"{sign}{digits}" + (rf"$\times10^{{{int(exponent)}}}$" if exponent else "")
