"""Options for tests that start pytest in a process of its own."""

from typing import Final

LEAN: Final = ("-p", "no:anyio", "-p", "no:langsmith_plugin", "-p", "no:schemathesis")
"""Load no plugins of libraries that only this checkout has: importing them takes 3 of 5 CPU seconds of a start."""
