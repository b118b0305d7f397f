"""What an extension may bring.

An extension is a folder of `understudy/extensions`, or a package that another distribution names by an entry point of
the group `understudy.extensions`; either has an instance of its class as `EXTENSION`. Each method of the class is a
part. It imports what it needs when it is called, so that what is off costs nothing.
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
"""Key of a field's metadata: `field(default=False, metadata={SHOWN: True})` is a setting of an extension that
`/api/agents` tells to clients."""


@frozen
class UserData:
    """Rows of a `table` that are kept of users, by its column `owner`: the member `name` of an export, as `record`
    shows each, read `together` at a time. They are deleted with their user; before that, `outside(settings, store,
    rows)` deletes what is kept of them outside of the database, or raises StorageError. Rows of a thread, in a table
    with `schema.of_thread()`, are exported with it, and go at once when its deletion begins. `single`: an owner has one
    row at most, which is the member itself, or null. `attached`: the rows are files, and the export of a thread has
    those whose `id` its messages name. `before(owner)` is committed before a user is erased at the command line, and
    may refuse it by a StorageError."""

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
        """Whether they are rows of threads."""
        return any(key.referred_table.name == "threads" for key in self.table.foreign_key_constraints)


@frozen
class TerminalCommands:
    """Commands of `understudy` and its `admin`, and lines of its `chat`. `acts` stores its deeds, if it is on."""

    commands: "Sequence[Command]" = ()
    admin: "Sequence[Command]" = ()
    chat: "Sequence[ChatCommand]" = ()
    acts: "Callable[[Deed], Write] | None" = None


class Parts:
    """What extensions have built for the server and for each other, found by its class."""

    def __init__(self) -> None:
        self._parts: dict[type[Any], Any] = {}
        self.closing = AsyncExitStack()  # of what is called once no actor works any more
        self.of_runs: list[MakePart] = []  # what extensions do beside the loop of a run
        self.of_long_runs: list[MakePart] = []  # the same, from its third turn on

    def add(self, part: object, *others: type[Any]) -> None:
        """Let others find `part` by its class, and by `others` that it extends, in place of what they were."""
        for kind in (type(part), *others):
            self._parts[kind] = part

    def find(self, kind: type[T]) -> T | None:
        """Return the part of this class, None without one: its extension is off, or has nothing to do."""
        return self._parts.get(kind)

    def __getitem__(self, kind: type[T]) -> T:
        part: T = self._parts[kind]
        return part


class Extension:
    """One extension. Its methods are its parts; it overrides those that it has."""

    name: ClassVar[str]
    about: ClassVar[str]
    """What it is for, in a few words."""
    requires: ClassVar[Sequence[str]] = ()
    """The extensions whose public names it imports."""
    packages: ClassVar[Mapping[str, str]] = {}
    """The modules that it needs, each with the extra that installs it."""
    table: ClassVar[str] = ""
    """What its settings are called in a file and in the environment, if not by its name."""

    def agents(self) -> "Sequence[Agent]":
        """Return agents that count as built in, so that the setting `builtin_agents` may leave them out."""
        return ()

    def settings(self) -> type[Any] | None:
        """Return the class of its settings, a table of a file. Each has a default. It may have a method
        `faults(settings)`, which yields what does not go together with the server's settings, a sentence each; a method
        `checks(settings, agents, offline)`, which yields what `understudy doctor` finds out; `attach(settings, system,
        store, tell)`, awaited by commands that write without a server; and `signs_in`, true if users sign in by it,
        with `own_secret`, true if the server may then sign tokens with a secret that it made."""

    def tables(self) -> "Sequence[Table]":
        """Return its tables. The migrations make them always: what is stored stays while it is off."""
        return ()

    def user_data(self) -> Sequence[UserData]:
        """Return what it keeps of users. It is asked while it is off, too."""
        return ()

    async def open(self, server: "WebContext") -> None:
        """Build what the server and other extensions use of it: `server.parts.add(…)`, and what it does in the chat:
        `server.chat.commands.extend(commands, part)`, functions of commands by their class and the `ThreadPart` of each
        conversation. Called once, after those that it requires, before there are routes. ValueError says what to do."""

    def routes(self) -> "Sequence[Blueprint]":
        """Return its blueprints, whose handlers have the server's parts by `web_context()`."""
        return ()

    def children(self, server: "WebContext") -> "Sequence[ChildSpec]":
        """Return its actors. They get a supervisor of their own, /system/NAME."""
        return ()

    def models(self) -> "Mapping[str, Callable[..., Model]]":
        """Return what makes clients of models, by the names of APIs of `understudy.models.providers`."""
        return {}

    def metrics(self) -> "Sequence[CountedBy]":
        """Return what it counts."""
        return ()

    def terminal(self) -> TerminalCommands:
        """Return its commands of the terminal. They are there for servers elsewhere, too."""
        return TerminalCommands()
