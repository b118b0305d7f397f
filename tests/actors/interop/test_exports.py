"""The names that the package around foreign code has."""

import types

from actors import interop


def test_the_public_names_are_these():
    """A name that comes or goes is a change to think about; each is documented."""
    public = {
        name: value
        for name, value in vars(interop).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert sorted(public) == [
        "AsyncioActor", "AsyncioCancelled", "ExtraMissing", "ForeignTimeout", "LateCall", "ThreadActor",
        "ThreadContext", "ThreadSpec", "TooManyAbandoned", "in_trio", "late_calls", "run_asyncio", "run_in_thread",
    ]  # fmt: skip
    assert [name for name, value in public.items() if not value.__doc__] == []
