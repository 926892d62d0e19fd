"""Memory images: what the pages of a file, a core dump or a running process hold, as a corpus and in numbers."""

from vswaplab.images.measure import Contents, load_contents, measure

__all__ = ["Contents", "load_contents", "measure"]
