"""The one error class for what a user can get wrong."""

from __future__ import annotations


class InputError(ValueError):
    """Something a user gave is unusable.

    The message is one line that names the value, what was expected, and the
    remedy; the command line prints it as it is and exits with status 2.
    """
