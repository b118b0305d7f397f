"""What an extension may bring, and which of those that are installed are on.

An extension is a folder of `understudy/extensions`, or a package that another distribution names by an entry point of
the group `understudy.extensions`; either has an instance of its class as `EXTENSION`. Each method of the class is a
part. It imports what it needs when it is called, so that what is off costs nothing.
"""

import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, Final, ParamSpec, TypeVar

from attrs import frozen

if TYPE_CHECKING:
    from click import Command
    from quart import Blueprint
    from sqlalchemy import Connection, Table

    from actors import ChildSpec
    from understudy.agents.agent import Agent
    from understudy.cli.chat_command import ChatCommand
    from understudy.observe.metrics import CountedBy
    from understudy.storage.write import Write
    from understudy.web.context import WebContext

P = ParamSpec("P")
T = TypeVar("T")
GROUP: Final = "understudy.extensions"
SHOWN: Final = "shown"
"""Key of a field's metadata: `field(default=False, metadata={SHOWN: True})` is a setting of an extension that
`/api/agents` tells to clients."""
NONE: Final = "none"
"""In place of names, in the setting `extensions`: all are off."""


class ExtensionFault(ValueError):
    """An extension is unknown, cannot be on, or a part of it failed; the text says which, and what to do."""


@frozen
class UserData:
    """Rows of a `table` that are kept of users: the member `name` of an export, as `read` finds the rows of an owner
    and `record` shows each, and what the write `delete(owner)` erases. `expired` deletes those whose time is over,
    every hour. Rows of a thread, in a table with `schema.of_thread()`, go at once when its deletion begins."""

    name: str
    table: "Table"
    read: "Callable[[Connection, str], Iterable[Any]]"
    record: Callable[[Any], object]
    delete: "Callable[[str], Write]"
    expired: "Write | None" = None


@frozen
class TerminalCommands:
    """Commands of `understudy`, of `understudy admin`, and lines of `understudy chat`."""

    commands: "Sequence[Command]" = ()
    admin: "Sequence[Command]" = ()
    chat: "Sequence[ChatCommand]" = ()


class Extension:
    """One extension. Its methods are its parts; it overrides those that it has."""

    name: ClassVar[str]
    about: ClassVar[str]
    """What it is for, in a few words."""
    requires: ClassVar[Sequence[str]] = ()
    """The extensions whose public names it imports."""
    packages: ClassVar[Mapping[str, str]] = {}
    """The modules that it needs, each with the extra that installs it."""

    def agents(self) -> "Sequence[Agent]":
        """Return agents that count as built in, so that the setting `builtin_agents` may leave them out."""
        return ()

    def settings(self) -> type[Any] | None:
        """Return the class of its settings, a table of its name in a file. Each has a default."""

    def tables(self) -> "Sequence[Table]":
        """Return its tables. The migrations make them always: what is stored stays while it is off."""
        return ()

    def user_data(self) -> Sequence[UserData]:
        """Return what it keeps of users. It is asked while it is off, too."""
        return ()

    def routes(self) -> "Sequence[Blueprint]":
        """Return its blueprints, whose handlers have the server's parts by `web_context()`."""
        return ()

    def children(self, server: "WebContext") -> "Sequence[ChildSpec]":
        """Return its actors. They get a supervisor of their own, /system/NAME."""
        return ()

    def metrics(self) -> "Sequence[CountedBy]":
        """Return what it counts."""
        return ()

    def acts(self) -> Mapping[str, frozenset[str]]:
        """Return its actions in the audit log, each with the members that their detail may have."""
        return {}

    def terminal(self) -> TerminalCommands:
        """Return its commands of the terminal. They are there for servers elsewhere, too."""
        return TerminalCommands()

    @property
    def missing(self) -> str:
        """What it needs and is not installed, with how to install it; empty for nothing."""
        gone = next((name for name in self.packages if find_spec(name) is None), None)
        return "" if gone is None else f"{gone} is missing: pip install 'understudy-server[{self.packages[gone]}]'"


def brought(part: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what a part, a method of an extension, brings. Raises ExtensionFault if it fails."""
    try:
        return part(*args, **kwargs)
    except Exception as error:
        name, failed = part.__self__.name, f"{part.__name__} ({type(error).__name__}: {error})"  # type: ignore[attr-defined]
        without = f'to go on without it, set extensions = ["-{name}"]'
        raise ExtensionFault(f"the extension {name} failed at its {failed}; {without}") from error


@cache
def installed() -> Mapping[str, Extension]:
    """Return the extensions that there are by their names: those of this package, then those of other distributions.

    Raises:
        ExtensionFault: One cannot be imported, or two have one name.
    """
    import understudy.extensions as package

    places = [f"{package.__name__}.{each.name}" for each in pkgutil.iter_modules(package.__path__)]
    found: dict[str, Extension] = {}
    for place in (*places, *sorted(each.value for each in entry_points(group=GROUP))):
        try:
            extension: Extension = import_module(place).EXTENSION
        except Exception as error:
            raise ExtensionFault(f"the extension {place} cannot be imported ({error}): uninstall or mend it") from error
        if extension.name in found:
            raise ExtensionFault(f"two extensions are called {extension.name}: uninstall {place}, or rename one")
        found[extension.name] = extension
    return found


def kept_of_users() -> Iterator[UserData]:
    """Yield what the extensions keep of users, those that are off, too. Raises ExtensionFault."""
    for extension in installed().values():
        yield from brought(extension.user_data)


def chosen(names: Sequence[str]) -> dict[str, Extension]:
    """Return the extensions that are on, by the setting `extensions`: their names; or `-NAME` for all but these;
    empty for all that have what they need; or `none`.

    Raises:
        ExtensionFault: A name is no extension's, or one cannot be on, or requires one that is off.
    """
    there = installed()
    off = {name[1:] for name in names if name.startswith("-")}
    wanted = {name for name in names if not name.startswith("-")}
    if unknown := sorted((off | wanted) - there.keys() - {NONE}):
        raise ExtensionFault(f"there is no extension {unknown[0]!r}; there are: {', '.join(there)}")
    if NONE in wanted and len(names) > 1:
        raise ExtensionFault(f"extensions: {NONE} stands alone, without other names")
    for name in sorted(wanted - {NONE}):
        if there[name].missing:
            raise ExtensionFault(f"the extension {name} cannot be on: {there[name].missing}")
    on = (wanted - {NONE} if wanted else {name for name in there if not there[name].missing}) - off
    while lacking := [(name, needed) for name in sorted(on) for needed in there[name].requires if needed not in on]:
        name, needed = lacking[0]
        if wanted or needed in off:
            raise ExtensionFault(f"the extension {name} requires {needed}, which is off: have both on, or both off")
        on.remove(name)  # what it requires cannot be on
    return {name: extension for name, extension in there.items() if name in on}
