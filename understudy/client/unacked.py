"""Decides which event acknowledges or refuses a command of the chat. Pure."""

from collections.abc import Mapping
from typing import Final

from transport.client.decoder import Received
from transport.client.unacked import UnackedCommand
from understudy.wire.events import (
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

MESSAGES: Final = frozenset({"user_message", "edit", "regenerate", "continue", "steer"})
_NAME: Final[Mapping[str, str]] = {
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


class UnackedChatCommand(UnackedCommand):
    """A command of the chat: say, edit, regenerate, continue and steer are messages."""

    @property
    def is_message(self) -> bool:
        """Whether the command is kept until the server has accepted or refused it by name."""
        return self.kind in MESSAGES

    @property
    def opens_thread(self) -> bool:
        """Whether the command may be the first in a thread."""
        return self.kind == "user_message"

    @property
    def acked_alone(self) -> bool:
        """Whether an event acknowledges only the first of several such commands, as each starts its own branch."""
        return self.kind == "regenerate"

    @property
    def name(self) -> str:
        """The id that distinguishes the command from others of its type."""
        if self.kind == "undo":
            return str(self.payload.get("call_id") or self.payload["run_id"])
        return str(self.payload[_NAME[self.kind]])

    def refused_by(self, event: Received) -> bool:
        """Return whether a refusal concerns, or may concern, this command."""
        is_feedback = self.kind == "feedback" and event.message_id == self.payload["message_id"]
        return super().refused_by(event) or (is_feedback and event.refusal)

    def acked_by(self, event: Received) -> bool:
        """Return whether an event acknowledges this command."""
        payload = self.payload
        if event.refusal or isinstance(event.event, MessageAccepted):
            return super().acked_by(event)
        match event.event:
            case ApprovalDecided(call_id=call_id) | ToolCompleted(call_id=call_id):
                return self.kind == "approve" and call_id == payload["call_id"]
            case SteerAccepted(steer_id=steer_id):
                return self.kind == "steer" and steer_id == payload["steer_id"]
            case SteerTaken(steer_id=steer_id) | SteerWithdrawn(steer_id=steer_id):
                return self.kind in ("steer", "unsteer") and steer_id == payload["steer_id"]
            case QuestionAnswered(question_id=question_id):
                return self.kind == "answer" and question_id == payload["question_id"]
            case UndoStarted(call_ids=call_ids):
                return self.kind == "undo" and self.name in (*call_ids, event.run_id)
            case FeedbackGiven(message_id=message_id):
                return self.kind == "feedback" and message_id == payload["message_id"]
        return self.kind == "cancel" and event.terminal and event.run_id == payload["run_id"]

    def accepted_by(self, event: Received) -> bool:
        """Return whether an event is the acceptance of this message."""
        payload = self.payload
        match event.event:
            case MessageAccepted(message_id=message_id, branch_of=branch_of, continues=continues):
                if self.kind == "continue":
                    return bool(continues == payload["run_id"])
                if self.kind == "regenerate":  # an answer's id does not name the message that it answers
                    target = str(payload["message_id"])
                    may_match = target == message_id or target.startswith(ANSWER)
                    return continues is None and branch_of == message_id and may_match
                return self.is_message and message_id == self.message_id
        return False
