"""vswaplab: a laboratory for Linux virtual swap with compressed-RAM tiers."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vswaplab.api import *  # noqa: F403
    from vswaplab.api import __all__ as __all__
    from vswaplab.api import __version__ as __version__
else:

    def __getattr__(name: str) -> object:
        # numpy and polars take half a second: loaded with the first name asked for, so that the command line is there
        # at once to hear Ctrl-C.
        if name.startswith("__") and name not in ("__all__", "__version__"):
            raise AttributeError(f"module 'vswaplab' has no attribute {name!r}")
        if name in ("charts", "widgets"):  # the plotting and widget libraries: only when asked for
            return import_module(f"vswaplab.{name}")
        api = import_module("vswaplab.api")
        if not hasattr(api, name):
            raise AttributeError(f"module 'vswaplab' has no attribute {name!r}")
        value: object = getattr(api, name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *import_module("vswaplab.api").__all__})
