"""Finds the installed extensions, chooses those that are on, and describes their faults."""

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
"""The value of the setting `extensions` by which all are off."""
ALWAYS: Final = frozenset({"settings", "tables", "user_data", "terminal"})
"""The parts that are used even while an extension is off."""


class ExtensionFault(ValueError):
    """An extension is unknown, cannot be on, or a part of it failed; the text says which, and what to do."""


def brought(part: Callable[[], T]) -> T:
    """Call a part, a method of an extension, and return its result. Raises ExtensionFault if it fails."""
    with naming(part.__self__, part.__name__):  # type: ignore[attr-defined]
        return part()


@contextmanager
def naming(extension: Extension, part: str) -> Iterator[None]:
    """Convert errors of the block, which uses a part of an extension, to ExtensionFault, which names both."""
    try:
        yield
    except ExtensionFault:
        raise
    except Exception as error:
        raise fault_of(extension, part, error) from error


def fault_of(extension: Extension, part: str, error: Exception) -> ExtensionFault:
    """Return the error that names the failed part and its extension, and says how to start without it."""
    name, failed = extension.name, f"{part} ({type(error).__name__}: {error})"
    without = "uninstall or mend it" if part in ALWAYS else f'to go on without it, set extensions = ["-{name}"]'
    return ExtensionFault(f"the extension {name} failed at its {failed}; {without}")


def is_ours(extension: Extension) -> bool:
    """Return whether an extension is part of this distribution, whose migrations make its tables."""
    return type(extension).__module__.startswith("understudy.")


@cache
def installed() -> Mapping[str, Extension]:
    """Return the installed extensions by their names: those of this package, then those of other distributions.

    Raises:
        ExtensionFault: An extension cannot be imported, or two have the same name.
    """
    import understudy.extensions as package

    paths = [f"{package.__name__}.{module.name}" for module in pkgutil.iter_modules(package.__path__)]
    extensions: dict[str, Extension] = {}
    for path in (*paths, *sorted(point.value for point in entry_points(group=GROUP))):
        try:
            extension: Any = import_module(path).EXTENSION
        except Exception as error:
            raise ExtensionFault(f"the extension {path} cannot be imported ({error}): uninstall or mend it") from error
        if not isinstance(extension, Extension) or not all(hasattr(extension, name) for name in ("name", "about")):
            expected = "an instance of a subclass of understudy.Extension that has a name and an about"
            raise ExtensionFault(f"EXTENSION of {path} is not {expected}: uninstall or mend it")
        if extension.name in extensions:
            raise ExtensionFault(f"two extensions are called {extension.name}: uninstall {path}, or rename one")
        extensions[extension.name] = extension
    return extensions


def kept_of_users() -> Iterator[UserData]:
    """Yield the user data of all extensions, even of those that are off. Raises ExtensionFault."""
    for extension in installed().values():
        yield from brought(extension.user_data)


def missing(extension: Extension) -> str:
    """Return a sentence about a package that an extension needs and that is not installed; empty if none is missing."""
    name = next((name for name in extension.packages if find_spec(name) is None), None)
    return "" if name is None else f"{name} is missing: pip install 'understudy-server[{extension.packages[name]}]'"


def chosen(names: Sequence[str]) -> dict[str, Extension]:
    """Return the extensions that are on, each after those that it requires. `names` is the setting `extensions`: names,
    which include their requirements; or `-NAME` for all but these; or empty for all that can be on; or `none`.

    Raises:
        ExtensionFault: A name is unknown, or an extension cannot be on, or requires one that is off by name.
    """
    known = installed()
    off = {name[1:] for name in names if name.startswith("-")}
    named = {name for name in names if not name.startswith("-")}
    if unknown := sorted((off | named) - known.keys() - {NONE}):
        hint = did_you_mean(unknown[0], known)
        raise ExtensionFault(f"there is no extension {unknown[0]!r}{hint}; there are: {', '.join(known)}")
    if NONE in named and len(names) > 1:
        raise ExtensionFault(f"extensions: {NONE} stands alone, without other names")
    on = (named - {NONE} if named else {name for name in known if not missing(known[name])}) - off
    while lacking := [(name, other) for name in sorted(on) for other in known[name].requires if other not in on]:
        name, required = lacking[0]
        if named and required not in known:
            raise ExtensionFault(f"the extension {name} requires {required}, which is not installed: install it")
        if required in off:
            raise ExtensionFault(f"the extension {name} requires {required}, which is off: have both on, or both off")
        on = on | {required} if named else on - {name}
    for name in sorted(on):
        if missing(known[name]):
            raise ExtensionFault(f"the extension {name} cannot be on: {missing(known[name])}")
    order = TopologicalSorter({name: extension.requires for name, extension in known.items()}).static_order()
    return {name: known[name] for name in order if name in on}
