"""Unacknowledged commands: sent again on each connection until the server has accepted or refused them. Pure.

A message is acknowledged by its acceptance or a refusal that names it. Other commands are idempotent, and acknowledged
by their effect; one without effect is dropped after TRIES connections. A temporarily refused command is postponed, and
so are the later messages of its thread. A program defines in a subclass of `UnackedCommand` which commands are messages
and what acknowledges them.
"""

import json
import math
from collections.abc import Container, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec
from attrs import define, field

from transport.client.decoder import Received

JsonObject: TypeAlias = Mapping[str, Any]

MAX_COMMANDS: Final = 100  # unacknowledged at a time; one more raises trio.WouldBlock
MAX_BYTES: Final = 8 * 1024 * 1024  # of all their frames together
SMALL_BYTES: Final = 8 * 1024
"""Frames up to this size in bytes are parsed in the task, larger ones in a worker thread."""
TRIES: Final = 3  # connections on which a command that is no message is sent


@define(eq=False)
class UnackedCommand:
    """A command and its JSON frame. `tries` counts how often it was sent.

    `refusals` counts temporary refusals in a row, the first at `refused_at`; it is not sent again before `due_at`.
    Unless a subclass says otherwise, a command with a `message_id` is a message, and the first numbered event that has
    this id in its envelope accepts it.
    """

    command: JsonObject = field(repr=False)
    frame: bytes = field(repr=False)
    tries: int = 0
    refusals: int = 0
    refused_at: float = math.inf
    due_at: float = -math.inf

    @property
    def kind(self) -> str:
        """The command's type."""
        return str(self.command["type"])

    @property
    def payload(self) -> JsonObject:
        """The command's fields."""
        payload: JsonObject = self.command["payload"]
        return payload

    @property
    def is_message(self) -> bool:
        """Whether the command is kept until the server has accepted or refused it by name."""
        return "message_id" in self.payload

    @property
    def opens_thread(self) -> bool:
        """Whether the command may be the first in a thread, and its acceptance the thread's first event."""
        return self.is_message

    @property
    def name(self) -> str:
        """The name that distinguishes the command from others of its type."""
        return str(self.payload.get("message_id", ""))

    @property
    def key(self) -> tuple[str, str]:
        """The command's identity: a second command of the same key replaces the first."""
        return "message" if self.is_message else self.kind, self.name

    @property
    def message_id(self) -> str:
        """The id by which a refusal names a message; empty for other commands."""
        return self.name if self.is_message else ""

    @property
    def acked_alone(self) -> bool:
        """Whether an event acknowledges only the first of several such commands that match it."""
        return False

    @property
    def thread_id(self) -> str | None:
        """The thread that the command names; None: the server chooses, so two such commands may share a thread."""
        return self.payload.get("thread_id")

    def refused_by(self, event: Received) -> bool:
        """Return whether a refusal concerns, or may concern, this command. Only refusals of messages must name it."""
        if self.is_message:
            return self.acked_by(event)
        return event.refusal and event.message_id is None and event.thread_id is None

    def postpone(self, now: float, wait_s: float) -> None:
        """Postpone the command by `wait_s` seconds."""
        self.refusals += 1
        self.refused_at = min(self.refused_at, now)
        self.due_at = now + wait_s

    def acked_by(self, event: Received) -> bool:
        """Return whether an event acknowledges this command."""
        if event.refusal:
            return bool(self.message_id) and event.message_id in (self.message_id, self.payload.get("message_id"))
        return self.accepted_by(event)

    def accepted_by(self, event: Received) -> bool:
        """Return whether an event is the first that the message has led to."""
        return self.is_message and event.seq is not None and event.message_id == self.message_id


def encode_command(command: JsonObject) -> bytes:
    """Encode a command as a JSON frame. Lone surrogates, which have no UTF-8, become question marks.

    Raises TypeError for values that JSON lacks.
    """
    try:
        return msgspec.json.encode(command)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(command), ensure_ascii=False).encode("utf-8", "replace")


class UnackedCommands:
    """The unacknowledged commands in order: at most MAX_COMMANDS, and MAX_BYTES in all. `kind` is their class."""

    def __init__(self, kind: type[UnackedCommand] = UnackedCommand) -> None:
        self._kind = kind
        self._commands: dict[tuple[str, str], UnackedCommand] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._commands)

    @property
    def commands(self) -> Sequence[JsonObject]:
        """All commands, oldest first."""
        return [command.command for command in self._commands.values()]

    @property
    def messages(self) -> Sequence[UnackedCommand]:
        """All messages, oldest first."""
        return [command for command in self._commands.values() if command.is_message]

    def fits(self, frame: bytes) -> bool:
        """Return whether there is room for a command. Raises ValueError if it exceeds MAX_BYTES by itself."""
        if len(frame) > MAX_BYTES:
            raise ValueError(f"a command may have at most {MAX_BYTES} bytes")
        return len(self._commands) < MAX_COMMANDS and self._bytes + len(frame) <= MAX_BYTES

    def add(self, command: JsonObject, frame: bytes) -> UnackedCommand:
        """Append a command, replacing one of the same key."""
        new = self._kind(command, frame)
        self.remove(new.key)
        self._commands[new.key] = new
        self._bytes += len(frame)
        return new

    def remove(self, key: tuple[str, str]) -> UnackedCommand | None:
        """Remove the command of this key. Return it, or None."""
        removed = self._commands.pop(key, None)
        if removed is not None:
            self._bytes -= len(removed.frame)
        return removed

    def get(self, key: tuple[str, str]) -> UnackedCommand | None:
        """Return the command of this key, or None."""
        return self._commands.get(key)

    def remove_acked(self, event: Received) -> list[UnackedCommand]:
        """Remove and return the commands that an event acknowledges."""
        settled = [command for command in self._commands.values() if command.acked_by(event)]
        once = [command for command in settled if command.acked_alone]
        for command in once[1:]:
            settled.remove(command)
        for command in settled:
            self.remove(command.key)
        return settled

    def next_due(self, taken: Container[UnackedCommand], now: float, *, messages: bool = True) -> UnackedCommand | None:
        """Return the first due command that is not in `taken`; `messages` False: skip messages.

        A postponed message holds back the later ones of its thread.
        """
        blocked_threads: set[str | None] = set()
        for command in self._commands.values():
            if command in taken or (command.is_message and (not messages or command.thread_id in blocked_threads)):
                continue
            if command.due_at <= now:
                return command
            if command.is_message:
                blocked_threads.add(command.thread_id)
        return None

    def due_at(self, now: float) -> float:
        """Return when the next postponed command is due; infinity if there is none."""
        return min((command.due_at for command in self._commands.values() if command.due_at > now), default=math.inf)

    def refused_by(self, event: Received) -> list[UnackedCommand]:
        """Return the commands that a refusal concerns, or may concern."""
        return [command for command in self._commands.values() if command.refused_by(event)]

    def reset_for_connection(self) -> None:
        """Reset delays for a new connection, and drop commands that had no effect on TRIES connections."""
        for command in list(self._commands.values()):
            command.refusals, command.refused_at, command.due_at = 0, math.inf, -math.inf
            if not command.is_message and command.tries >= TRIES:
                self.remove(command.key)
