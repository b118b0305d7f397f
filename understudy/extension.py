"""The interface of extensions.

An extension is a folder of `understudy/extensions`, or a package that another distribution names by an entry point of
the group `understudy.extensions`. Its `EXTENSION` is an instance of a subclass of `Extension`. Each method is a part,
and imports its modules when it is called, so that an extension that is off costs nothing.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from attrs import frozen

if TYPE_CHECKING:
    from click import Command
    from quart import Blueprint
    from sqlalchemy import Table

    from actors import ChildSpec
    from understudy.agents.agent import Agent
    from understudy.chat.run.part import MakePart
    from understudy.cli.chat_command import ChatCommand
    from understudy.models.model import Model
    from understudy.observe.collectors import CountedBy
    from understudy.storage.acts import Deed
    from understudy.storage.store import Store
    from understudy.storage.write import Write
    from understudy.web.context import WebContext
    from understudy.web.websocket import WebSettings

T = TypeVar("T")
SHOWN: Final = "shown"
"""A key of a field's metadata: the setting `field(default=False, metadata={SHOWN: True})` of an extension is sent to
clients by `/api/agents`."""


@frozen
class UserData:
    """Users' data in the rows of a `table`, by its column `owner`. An export has them as the member `name`, each row as
    `record` converts it, read `together` at a time. They are deleted with their user; before that, `outside(settings,
    store, rows)` deletes their data outside of the database, or raises StorageError. Rows of a thread, in a table with
    `schema.of_thread()`, are exported with the thread, and deleted when its deletion begins. `single`: an owner has at
    most one row, which is the member itself, or null. `attached`: the rows are files; the export of a thread has those
    whose `id` its messages name. `before(owner)` is committed before a user is erased at the command line, and may
    refuse it by a StorageError."""

    name: str
    table: "Table"
    record: Callable[[Any], object]
    together: int = 200
    single: bool = False
    attached: bool = False
    before: "Callable[[str], Write] | None" = None
    outside: "Callable[[WebSettings, Store, Sequence[Any]], Awaitable[None]] | None" = None

    @property
    def of_thread(self) -> bool:
        """Whether the rows belong to threads."""
        return any(key.referred_table.name == "threads" for key in self.table.foreign_key_constraints)


@frozen
class TerminalCommands:
    """Commands of `understudy`, its `admin` and its `chat`. `acts` makes the write that stores a deed, if it is on."""

    commands: "Sequence[Command]" = ()
    admin: "Sequence[Command]" = ()
    chat: "Sequence[ChatCommand]" = ()
    acts: "Callable[[Deed], Write] | None" = None


class Parts:
    """The objects that extensions have built for the server and for each other, found by their classes."""

    def __init__(self) -> None:
        self._parts: dict[type[Any], Any] = {}
        self.closing = AsyncExitStack()  # callbacks that run once all actors have stopped
        self.of_runs: list[MakePart] = []  # make extensions' parts of a run
        self.of_long_runs: list[MakePart] = []  # make extensions' parts of a run, from its third turn on

    def add(self, part: object, *others: type[Any]) -> None:
        """Register `part` under its class, and in place of present parts under `others`, classes that it extends."""
        for kind in (type(part), *others):
            self._parts[kind] = part

    def find(self, kind: type[T]) -> T | None:
        """Return the part of this class; None if its extension is off, or has nothing to do."""
        return self._parts.get(kind)

    def __getitem__(self, kind: type[T]) -> T:
        part: T = self._parts[kind]
        return part


class Extension:
    """An extension. Its methods are its parts; a subclass overrides those that it has."""

    name: ClassVar[str]
    about: ClassVar[str]
    """The purpose of the extension in a few words."""
    requires: ClassVar[Sequence[str]] = ()
    """The extensions whose public names it imports."""
    packages: ClassVar[Mapping[str, str]] = {}
    """The modules that it needs, each with the extra that installs it."""
    table: ClassVar[str] = ""
    """The name of its settings in a file and in the environment, if other than `name`."""

    def agents(self) -> "Sequence[Agent]":
        """Return agents that count as built in, so the setting `builtin_agents` may leave them out."""
        return ()

    def settings(self) -> type[Any] | None:
        """Return the class of its settings, a table of a file. Each setting has a default. Optional members of the
        class: `faults(settings)` yields a sentence for each conflict with the server's settings; `checks(settings,
        agents, offline)` yields results for `understudy doctor`; `attach(settings, system, store, tell)` is awaited by
        commands that write without a server; `signs_in` is true if users sign in by the extension, and `own_secret` if
        the server may then sign tokens with a secret that it made."""

    def tables(self) -> "Sequence[Table]":
        """Return its tables. Migrations make them even if the extension is off, and stored data stays while it is."""
        return ()

    def user_data(self) -> Sequence[UserData]:
        """Return the data that it stores about users. This is called even if the extension is off."""
        return ()

    async def open(self, server: "WebContext") -> None:
        """Build its parts for the server and other extensions, `server.parts.add(…)`, and for the chat,
        `server.chat.commands.extend(commands, part)`: functions for commands by their class and the `ThreadPart` of
        conversations. Called once, after required extensions and before routes. A ValueError says what to do."""

    def routes(self) -> "Sequence[Blueprint]":
        """Return its blueprints, whose handlers get the server's parts by `web_context()`."""
        return ()

    def children(self, server: "WebContext") -> "Sequence[ChildSpec]":
        """Return its actors. Their supervisor is /system/NAME."""
        return ()

    def models(self) -> "Mapping[str, Callable[..., Model]]":
        """Return factories of models' clients, by the names of APIs in `understudy.models.providers`."""
        return {}

    def metrics(self) -> "Sequence[CountedBy]":
        """Return the declarations of its counters."""
        return ()

    def terminal(self) -> TerminalCommands:
        """Return its commands of the terminal. They exist even if the extension is off."""
        return TerminalCommands()
