"""Unacknowledged commands: sent again on each connection until the server has accepted or refused them. Pure.

A message (say, edit, regenerate, continue, steer) is acknowledged by its acceptance or a refusal that names it. Other
commands are idempotent, and acknowledged by their effect; one without effect is dropped after TRIES connections. A
temporarily refused command is postponed, and so are the later messages of its thread.
"""

import json
import math
from collections.abc import Container, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec
from attrs import define, field

from transport.client.decoder import Received
from transport.wire.events import (
    ANSWER,
    ApprovalDecided,
    FeedbackGiven,
    MessageAccepted,
    QuestionAnswered,
    SteerAccepted,
    SteerTaken,
    SteerWithdrawn,
    ToolCompleted,
    UndoStarted,
)

JsonObject: TypeAlias = Mapping[str, Any]

MAX_COMMANDS: Final = 100
MAX_BYTES: Final = 8 * 1024 * 1024
SMALL_BYTES: Final = 8 * 1024
"""Frames up to this size in bytes are parsed in the task, larger ones in a worker thread."""
TRIES: Final = 3
MESSAGES: Final = frozenset({"user_message", "edit", "regenerate", "continue", "steer"})
_KEY: Final[Mapping[str, str]] = {
    "user_message": "message_id",
    "edit": "new_message_id",
    "regenerate": "request_id",
    "continue": "request_id",
    "approve": "call_id",
    "answer": "question_id",
    "steer": "steer_id",
    "unsteer": "steer_id",
    "cancel": "run_id",
    "feedback": "message_id",
}


@define(eq=False)
class UnackedCommand:
    """A command and its JSON frame. `tries` counts how often it was sent.

    `refusals` counts temporary refusals in a row, the first at `refused_at`; it is not sent again before `due_at`.
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
    def key(self) -> tuple[str, str]:
        """The command's identity: a second command of the same key replaces the first."""
        group = "message" if self.kind in MESSAGES else self.kind
        if self.kind == "undo":
            return group, str(self.payload.get("call_id") or self.payload["run_id"])
        return group, str(self.payload[_KEY[self.kind]])

    @property
    def message_id(self) -> str:
        """The id by which a refusal names a message; empty for other commands."""
        return self.key[1] if self.kind in MESSAGES else ""

    @property
    def thread_id(self) -> str | None:
        """The thread that the command names; None: the server chooses, so two such commands may share a thread."""
        return self.payload.get("thread_id")

    def refused_by(self, event: Received) -> bool:
        """Return whether a refusal concerns, or may concern, this command. Only refusals of messages must name it."""
        if self.kind in MESSAGES:
            return self.acked_by(event)
        named = self.kind == "feedback" and event.message_id == self.payload["message_id"]
        return event.refusal and (named or (event.message_id is None and event.thread_id is None))

    def postpone(self, now: float, wait_s: float) -> None:
        """Postpone the command by `wait_s` seconds."""
        self.refusals += 1
        self.refused_at = min(self.refused_at, now)
        self.due_at = now + wait_s

    def acked_by(self, event: Received) -> bool:
        """Return whether an event acknowledges this command."""
        payload = self.payload
        if event.refusal:
            return bool(self.message_id) and event.message_id in (self.message_id, payload.get("message_id"))
        match event.event:
            case MessageAccepted(message_id=message_id, branch_of=branch_of, continues=continues):
                if self.kind == "continue":
                    return bool(continues == payload["run_id"])
                if self.kind == "regenerate":  # an answer's id does not name the message that it answers
                    named = str(payload["message_id"])
                    return (
                        continues is None
                        and branch_of == message_id
                        and (named == message_id or named.startswith(ANSWER))
                    )
                return self.kind in MESSAGES and message_id == self.message_id
            case ApprovalDecided(call_id=call_id) | ToolCompleted(call_id=call_id):
                return self.kind == "approve" and call_id == payload["call_id"]
            case SteerAccepted(steer_id=steer_id):
                return self.kind == "steer" and steer_id == payload["steer_id"]
            case SteerTaken(steer_id=steer_id) | SteerWithdrawn(steer_id=steer_id):
                return self.kind in ("steer", "unsteer") and steer_id == payload["steer_id"]
            case QuestionAnswered(question_id=question_id):
                return self.kind == "answer" and question_id == payload["question_id"]
            case UndoStarted(call_ids=call_ids):
                return self.kind == "undo" and self.key[1] in (*call_ids, event.run_id)
            case FeedbackGiven(message_id=message_id):
                return self.kind == "feedback" and message_id == payload["message_id"]
        return self.kind == "cancel" and event.terminal and event.run_id == payload["run_id"]


def encode_command(command: JsonObject) -> bytes:
    """Encode a command as a JSON frame. Lone surrogates, which have no UTF-8, become question marks.

    Raises TypeError for values that JSON lacks.
    """
    try:
        return msgspec.json.encode(command)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(command), ensure_ascii=False).encode("utf-8", "replace")


class UnackedCommands:
    """The unacknowledged commands in order: at most MAX_COMMANDS, and MAX_BYTES in all."""

    def __init__(self) -> None:
        self._commands: dict[tuple[str, str], UnackedCommand] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._commands)

    @property
    def commands(self) -> Sequence[JsonObject]:
        """All commands, oldest first."""
        return [each.command for each in self._commands.values()]

    @property
    def messages(self) -> Sequence[UnackedCommand]:
        """All messages, oldest first."""
        return [each for each in self._commands.values() if each.kind in MESSAGES]

    def fits(self, frame: bytes) -> bool:
        """Return whether there is room for a command. Raises ValueError if it exceeds MAX_BYTES by itself."""
        if len(frame) > MAX_BYTES:
            raise ValueError(f"a command may have at most {MAX_BYTES} bytes")
        return len(self._commands) < MAX_COMMANDS and self._bytes + len(frame) <= MAX_BYTES

    def add(self, command: JsonObject, frame: bytes) -> UnackedCommand:
        """Append a command, replacing one of the same key."""
        new = UnackedCommand(command, frame)
        self.remove(new.key)
        self._commands[new.key] = new
        self._bytes += len(frame)
        return new

    def remove(self, key: tuple[str, str]) -> UnackedCommand | None:
        """Remove the command of this key. Return it, or None."""
        gone = self._commands.pop(key, None)
        if gone is not None:
            self._bytes -= len(gone.frame)
        return gone

    def get(self, key: tuple[str, str]) -> UnackedCommand | None:
        """Return the command of this key, or None."""
        return self._commands.get(key)

    def remove_acked(self, event: Received) -> list[UnackedCommand]:
        """Remove and return the commands that an event acknowledges."""
        settled = [each for each in self._commands.values() if each.acked_by(event)]
        again = [each for each in settled if each.kind == "regenerate"]
        for each in again[1:]:  # a branch is started by one request only
            settled.remove(each)
        for each in settled:
            self.remove(each.key)
        return settled

    def next_due(self, taken: Container[UnackedCommand], now: float, *, messages: bool = True) -> UnackedCommand | None:
        """Return the first due command that is not in `taken`; `messages` False: skip messages.

        A postponed message holds back the later ones of its thread.
        """
        held: set[str | None] = set()
        for each in self._commands.values():
            if each in taken or (each.kind in MESSAGES and (not messages or each.thread_id in held)):
                continue
            if each.due_at <= now:
                return each
            if each.kind in MESSAGES:
                held.add(each.thread_id)
        return None

    def due_at(self, now: float) -> float:
        """Return when the next postponed command is due; infinity if there is none."""
        return min((each.due_at for each in self._commands.values() if each.due_at > now), default=math.inf)

    def refused_by(self, event: Received) -> list[UnackedCommand]:
        """Return the commands that a refusal concerns, or may concern."""
        return [each for each in self._commands.values() if each.refused_by(event)]

    def reset_for_connection(self) -> None:
        """Reset delays for a new connection, and drop commands that had no effect on TRIES connections."""
        for each in list(self._commands.values()):
            each.refusals, each.refused_at, each.due_at = 0, math.inf, -math.inf
            if each.kind not in MESSAGES and each.tries >= TRIES:
                self.remove(each.key)
