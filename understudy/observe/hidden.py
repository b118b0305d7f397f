"""Hide an optional package from a library while that is imported: it then takes the package for not installed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hidden(package: str) -> Iterator[None]:
    """Let imports of `package` fail within the block. Does nothing if it has been imported already.

    For libraries that import a package only because it is there: loading one that nothing uses takes megabytes and
    tenths of a second of the start. Blocks of several threads must not overlap.
    """
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment] # an import of it fails, as if it were not installed
    try:
        yield
    finally:
        del sys.modules[package]
