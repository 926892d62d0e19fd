"""``python -m vswaplab``: the same as the command ``vswaplab``."""

import sys

from vswaplab.cli import main

sys.exit(main())
