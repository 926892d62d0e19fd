"""The states of a page as plain integers: looking up an enum member costs more than a small array operation."""

from vswaplab.base.backing import Op, State
from vswaplab.trace.sharing import UNMAP as _UNMAP

NONE = int(State.NONE)
RESIDENT = int(State.RESIDENT)
ZERO = int(State.ZERO)
ZSWAP = int(State.ZSWAP)
SWAPFILE = int(State.SWAPFILE)
CRAM_SOFTLEAF = int(State.CRAM_SOFTLEAF)
CRAM_READONLY = int(State.CRAM_READONLY)
CRAM_WRITABLE = int(State.CRAM_WRITABLE)
CRAM_POISONED = int(State.CRAM_POISONED)
N_STATES = len(State)

READ, WRITE, FREE = int(Op.READ), int(Op.WRITE), int(Op.FREE)
UNMAP = _UNMAP
N_OPS = UNMAP + 1
