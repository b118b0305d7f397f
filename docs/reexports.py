"""For `make docs`: a package's public names are those that its `__init__` imports as themselves."""

from typing import Any

from griffe import Extension, Module


class Reexports(Extension):
    """Counts `from .pool import Pool as Pool` as public, as type checkers do; without it only `__all__` would."""

    def on_module_members(self, *, mod: Module, **_: Any) -> None:
        """Set the exports of a package that has no `__all__`."""
        if mod.is_init_module and mod.exports is None:
            mod.exports = [name for name, member in mod.members.items() if member.is_alias]
