"""The command line: ``vswaplab run``, ``profiles``, ``traces``, ``lab``.

Results and tables go to standard output, progress and notes to standard
error. Bad input is one line on standard error and exit status 2; Ctrl-C keeps
what was finished and exits with 130.
"""

from vswaplab.cli.entry import main

__all__ = ["main"]
