"""``python -m vswaplab.cli``: the same as the command ``vswaplab``."""

import sys

from vswaplab.cli.entry import main

sys.exit(main())
