"""States, operations and outcomes as plain integers: looking up an enum member costs more than an array operation."""

import numpy as np

from vswaplab.base.backing import Op, State
from vswaplab.results.counters import OUTCOMES
from vswaplab.trace.sharing import UNMAP as _UNMAP

NONE = int(State.NONE)
RESIDENT = int(State.RESIDENT)
ZERO = int(State.ZERO)
ZSWAP = int(State.ZSWAP)
SWAPFILE = int(State.SWAPFILE)
STORE = int(State.STORE)
CRAM_SOFTLEAF = int(State.CRAM_SOFTLEAF)
CRAM_READONLY = int(State.CRAM_READONLY)
CRAM_WRITABLE = int(State.CRAM_WRITABLE)
CRAM_POISONED = int(State.CRAM_POISONED)
N_STATES = len(State)

STAYS = NONE
"""Destination of a page that leaves, and finds room nowhere."""

READ, WRITE, FREE = int(Op.READ), int(Op.WRITE), int(Op.FREE)
UNMAP = _UNMAP

# Outcomes: places in OUTCOMES, and two more for a load from a plug-in's tier and for an access that frees its page.
_OUTCOME = {name: i for i, name in enumerate(OUTCOMES)}
DRAM_HIT = _OUTCOME["dram_hit"]
FIRST_TOUCH, SWPIN_ZERO = _OUTCOME["first_touch"], _OUTCOME["swpin_zero"]
ZSWPIN, PSWPIN = _OUTCOME["zswpin"], _OUTCOME["pswpin"]
SOFT_FAULT, CRAM_READ, CRAM_WRITE = _OUTCOME["cram_soft_fault"], _OUTCOME["cram_read"], _OUTCOME["cram_write"]
MADE_WRITABLE, PROMOTE = _OUTCOME["cram_made_writable"], _OUTCOME["cram_promote"]
COPIED = _OUTCOME["copy_on_write"]
STORE_IN = len(OUTCOMES)
FREED = STORE_IN + 1

FAULT_OF_STATE = np.full(N_STATES, DRAM_HIT, np.uint8)
"""Outcome of the first access to a page that is not in CRAM, by state."""
FAULT_OF_STATE[[NONE, ZERO, ZSWAP, SWAPFILE, STORE]] = [FIRST_TOUCH, SWPIN_ZERO, ZSWPIN, PSWPIN, STORE_IN]

STATE_AFTER = np.full(FREED + 1, RESIDENT, np.uint8)
"""Where an access leaves its page, by outcome; but a read in place leaves a writable page writable."""
STATE_AFTER[[SOFT_FAULT, CRAM_READ]] = CRAM_READONLY
STATE_AFTER[[CRAM_WRITE, MADE_WRITABLE]] = CRAM_WRITABLE
STATE_AFTER[FREED] = NONE

IS_SERVED_IN_CRAM = np.zeros(FREED + 1, np.bool_)
"""Outcomes that leave the page on the device."""
IS_SERVED_IN_CRAM[[SOFT_FAULT, CRAM_READ, CRAM_WRITE, MADE_WRITABLE]] = True

CRAM_OUTCOMES = IS_SERVED_IN_CRAM.nonzero()[0].tolist()

IS_LOAD = np.zeros(FREED + 1, np.bool_)
"""Outcomes that bring a page in from behind a swap entry, CRAM excepted."""
IS_LOAD[[SWPIN_ZERO, ZSWPIN, PSWPIN, STORE_IN]] = True
IS_SWAP_IN = IS_LOAD.copy()
IS_SWAP_IN[PROMOTE] = True
NEEDS_FRAME = IS_SWAP_IN.copy()
"""Outcomes that make a page resident."""
NEEDS_FRAME[[FIRST_TOUCH, COPIED]] = True
FRAME_OUTCOMES = NEEDS_FRAME.nonzero()[0].tolist()
LEAVING_OUTCOMES = (STATE_AFTER != RESIDENT).nonzero()[0].tolist()
"""Outcomes after which a page is not resident."""
