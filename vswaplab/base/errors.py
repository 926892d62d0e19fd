"""The one error class for what a user can get wrong."""

from __future__ import annotations


class InputError(ValueError):
    r"""Something a user gave is unusable.

    The message is one line that names the value, what was expected, and the
    remedy; the command line prints it as it is and exits with status 2. A
    value whose words take several lines, such as a table's, is put into one.

    Examples
    --------
    >>> str(InputError("n must be a whole number, got array([1,\n       2])"))
    'n must be a whole number, got array([1, 2])'
    """

    def __init__(self, message: str) -> None:
        lines = message.splitlines()
        super().__init__(message if len(lines) < 2 else " ".join(line.strip() for line in lines))


_SHOWN = 160


def shown(value: object) -> str:
    """Write a value for a message: as Python would, and not all of a long one.

    Examples
    --------
    >>> shown("1 GB"), shown([1, 2])
    ("'1 GB'", '[1, 2]')
    >>> shown("a" * 1_000) == repr("a" * 160 + "...")
    True
    """
    if isinstance(value, str):
        return repr(value if len(value) <= _SHOWN else f"{value[:_SHOWN]}...")
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
