"""swapoff (mm/swapfile.c, try_to_unuse): a device is emptied and taken away."""

from __future__ import annotations

from vswaplab.engine.kernel.faults import Faults
from vswaplab.engine.kernel.folios import CRAM, DISK, NONE, ZERO, ZSWAP, OutOfMemoryError
from vswaplab.engine.outcome import Drain

_COUNTED = {DISK: "pswpin", ZSWAP: "zswpin", ZERO: "swpin_zero"}


class Swapoff(Faults):
    """What happens to the pages that have a slot on the device."""

    def swapoff(self, device: int, *, maps: bool) -> Drain:
        """Empty a swap device and take it away (try_to_unuse); it ends early if memory runs out.

        Parameters
        ----------
        device : int
        maps : bool
            Page tables are gone through, so that pages are mapped; else they stay
            in the swap cache under their virtual entry.
        """
        drain = Drain()
        self.capacity[device] = 0
        for page in range(self.plan.n_pages):
            if self.slot[page] != device:
                continue
            if self.mapped[page] or self.cached[page]:
                drain.copies_dropped += 1
            elif not self._bring_in(page, drain):
                self.count["oom"] = 1
                break
            self._leave_device(page, drain, maps=maps)
        return drain

    def _bring_in(self, page: int, drain: Drain) -> bool:
        # Load a page into the swap cache; False: memory ran out.
        backing = self.backing[page]
        try:
            self.swap_in(page)
        except OutOfMemoryError:
            return False
        self.count[_COUNTED[backing]] -= 1  # it is the drain's, not an access's
        if backing == DISK:
            self.device_in[self.slot[page]] -= 1
        drain.pages_read += backing == DISK
        drain.pages_loaded += backing == ZSWAP
        drain.zswap_loaded += backing == ZSWAP
        drain.zero_loaded += backing == ZERO
        return True

    def _leave_device(self, page: int, drain: Drain, *, maps: bool) -> None:
        is_unmapped = not self.mapped[page]
        self.free_slot(page)
        self.backing[page], self.dirty[page] = NONE, 1
        if is_unmapped and not maps:
            drain.cache_only += 1
            return
        self.cached[page] = 0
        if is_unmapped:
            drain.pte_changed += 1
            self.mapped[page] = 1

    # The CRAM node --------------------------------------------------------------------------------

    def remove_cram(self, *, maps: bool) -> Drain:
        """Move every folio of the CRAM node to DRAM and take it away (hotplug); it ends early if memory runs out.

        Parameters
        ----------
        maps : bool
            Of no account: the pages stay as they are in the page tables.
        """
        drain, self.is_removed = Drain(), True
        for page in range(self.plan.n_pages):
            if self.node[page] != CRAM:
                continue
            try:
                self.promote(page)
            except OutOfMemoryError:
                self.count["oom"] = 1
                break
            drain.cram_loaded += 1
        return drain
