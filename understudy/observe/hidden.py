"""Hides an optional package while a library is imported, so that the library takes it for not installed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hidden(package: str) -> Iterator[None]:
    """Make imports of `package` fail within the block. Does nothing if the package has been imported already.

    Some libraries import a package whenever it is installed; if nothing uses it, that wastes megabytes and tenths of a
    second of the start. Blocks of several threads must not overlap.
    """
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment] # makes imports of it fail
    try:
        yield
    finally:
        del sys.modules[package]
