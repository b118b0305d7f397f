"""The names that the package around foreign code has."""

import types

from actors import interop


def test_the_public_names_are_these():
    public = {
        name: value
        for name, value in vars(interop).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert sorted(public) == [
        "ForeignTimeout", "LateCall", "ThreadActor", "ThreadContext", "ThreadSpec", "TooManyAbandoned", "late_calls",
        "run_in_thread",
    ]  # fmt: skip
    assert [name for name, value in public.items() if not value.__doc__] == []
