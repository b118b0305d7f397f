"""The extensions that are installed, which of them are on, and what a fault in one says."""

import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from graphlib import TopologicalSorter
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any, Final, TypeVar

from understudy.extension import Extension, UserData
from understudy.suggestion import did_you_mean

T = TypeVar("T")
GROUP: Final = "understudy.extensions"
NONE: Final = "none"
"""In place of names, in the setting `extensions`: all are off."""
ALWAYS: Final = frozenset({"settings", "tables", "user_data", "terminal"})
"""The parts that are asked for while an extension is off, too."""


class ExtensionFault(ValueError):
    """An extension is unknown, cannot be on, or a part of it failed; the text says which, and what to do."""


def brought(part: Callable[[], T]) -> T:
    """Return what a part, a method of an extension, brings. Raises ExtensionFault if it fails."""
    with naming(part.__self__, part.__name__):  # type: ignore[attr-defined]
        return part()


@contextmanager
def naming(extension: Extension, part: str) -> Iterator[None]:
    """Have what fails in the block, where a part is used, name the extension. Raises ExtensionFault."""
    try:
        yield
    except ExtensionFault:
        raise
    except Exception as error:
        raise fault_of(extension, part, error) from error


def fault_of(extension: Extension, part: str, error: Exception) -> ExtensionFault:
    """Return the error that says which part of which extension failed, and how to go on without it."""
    name, failed = extension.name, f"{part} ({type(error).__name__}: {error})"
    without = "uninstall or mend it" if part in ALWAYS else f'to go on without it, set extensions = ["-{name}"]'
    return ExtensionFault(f"the extension {name} failed at its {failed}; {without}")


def is_ours(extension: Extension) -> bool:
    """Return whether an extension is of this distribution, whose migrations make its tables."""
    return type(extension).__module__.startswith("understudy.")


@cache
def installed() -> Mapping[str, Extension]:
    """Return the extensions that there are by their names: those of this package, then those of other distributions.

    Raises:
        ExtensionFault: One cannot be imported, or two have one name.
    """
    import understudy.extensions as package

    places = [f"{package.__name__}.{module.name}" for module in pkgutil.iter_modules(package.__path__)]
    extensions: dict[str, Extension] = {}
    for place in (*places, *sorted(point.value for point in entry_points(group=GROUP))):
        try:
            extension: Any = import_module(place).EXTENSION
        except Exception as error:
            raise ExtensionFault(f"the extension {place} cannot be imported ({error}): uninstall or mend it") from error
        if not isinstance(extension, Extension) or not all(hasattr(extension, name) for name in ("name", "about")):
            wanted = "an instance of a subclass of understudy.Extension that has a name and an about"
            raise ExtensionFault(f"EXTENSION of {place} is not {wanted}: uninstall or mend it")
        if extension.name in extensions:
            raise ExtensionFault(f"two extensions are called {extension.name}: uninstall {place}, or rename one")
        extensions[extension.name] = extension
    return extensions


def kept_of_users() -> Iterator[UserData]:
    """Yield what the extensions keep of users, those that are off, too. Raises ExtensionFault."""
    for extension in installed().values():
        yield from brought(extension.user_data)


def missing(extension: Extension) -> str:
    """Return what an extension needs and is not installed, with how to install it; empty for nothing."""
    gone = next((name for name in extension.packages if find_spec(name) is None), None)
    return "" if gone is None else f"{gone} is missing: pip install 'understudy-server[{extension.packages[gone]}]'"


def chosen(names: Sequence[str]) -> dict[str, Extension]:
    """Return the extensions that are on, each after those that it requires, by the setting `extensions`: their names,
    which bring what they require; or `-NAME` for all but these; empty for all that have what they need; or `none`.

    Raises:
        ExtensionFault: A name is no extension's, or one cannot be on, or requires one that is left out by name.
    """
    there = installed()
    off = {name[1:] for name in names if name.startswith("-")}
    wanted = {name for name in names if not name.startswith("-")}
    if unknown := sorted((off | wanted) - there.keys() - {NONE}):
        meant = did_you_mean(unknown[0], there)
        raise ExtensionFault(f"there is no extension {unknown[0]!r}{meant}; there are: {', '.join(there)}")
    if NONE in wanted and len(names) > 1:
        raise ExtensionFault(f"extensions: {NONE} stands alone, without other names")
    on = (wanted - {NONE} if wanted else {name for name in there if not missing(there[name])}) - off
    while lacking := [(name, needed) for name in sorted(on) for needed in there[name].requires if needed not in on]:
        name, needed = lacking[0]
        if wanted and needed not in there:
            raise ExtensionFault(f"the extension {name} requires {needed}, which is not installed: install it")
        if needed in off:
            raise ExtensionFault(f"the extension {name} requires {needed}, which is off: have both on, or both off")
        on = on | {needed} if wanted else on - {name}
    for name in sorted(on):
        if missing(there[name]):
            raise ExtensionFault(f"the extension {name} cannot be on: {missing(there[name])}")
    order = TopologicalSorter({name: extension.requires for name, extension in there.items()}).static_order()
    return {name: there[name] for name in order if name in on}
