import attrs
import pytest

from tests.rigs.event_samples import SAMPLES
from transport.wire import commands
from transport.wire.events import Error, Event, Priority
from understudy.wire.commands import COMMANDS, Say
from understudy.wire.events import EVENTS, TERMINAL, FinalResponse, MessageAccepted, Usage

MODULES = {"transport.wire.events", "understudy.wire.events"}
DURABLE = [
    "message_accepted", "steer_accepted", "steer_taken", "steer_withdrawn", "subagent_started", "subagent_completed",
    "agent_started", "agent_thinking", "agent_handoff", "tool_executing", "tool_completed", "approval_required",
    "approval_decided", "question_asked", "question_answered", "call_settled", "undo_started", "call_undone",
    "sanitization_summary", "agent_completed", "final_response", "error", "agent_error",
]  # fmt: skip
PASSING = ["agent_progress", "tool_partial", "partial_result", "welcome", "typing", "feedback", "alert"]
PASSING += ["thread_titled", "thread_changed", "answers_read", "drain", "ping", "pong", "resync"]
PRIORITIES = {
    "alert": Priority.ALERT, "drain": Priority.ALERT, "error": Priority.HIGH, "agent_error": Priority.HIGH,
    "approval_required": Priority.HIGH, "question_asked": Priority.HIGH, "welcome": Priority.HIGH,
    "ping": Priority.HIGH, "pong": Priority.HIGH, "resync": Priority.HIGH, "agent_progress": Priority.LOW,
    "tool_partial": Priority.LOW, "typing": Priority.LOW,
}  # fmt: skip


def test_the_vocabulary_is_whole() -> None:
    assert set(EVENTS.values()) == {kind for kind in Event.__subclasses__() if kind.__module__ in MODULES}
    assert all(kind.type == name for name, kind in EVENTS.items())
    assert {type(envelope.event) for envelope in SAMPLES.values()} == set(EVENTS.values())


def test_durable_types_are_those_of_the_protocols_table() -> None:
    """These types are logged and numbered, those pass."""
    assert sorted(name for name, kind in EVENTS.items() if kind.durable) == sorted(DURABLE)
    assert sorted(name for name, kind in EVENTS.items() if not kind.durable) == sorted(PASSING)


def test_priorities() -> None:
    """Unlisted events have priority normal."""
    assert {name: kind.priority for name, kind in EVENTS.items() if kind.priority is not Priority.NORMAL} == PRIORITIES


def test_a_run_ends_in_an_answer_or_an_error() -> None:
    assert set(TERMINAL) == {FinalResponse, Error}


@pytest.mark.parametrize("kind", [*EVENTS.values(), *dict.fromkeys(COMMANDS.values())], ids=lambda kind: kind.__name__)
def test_vocabulary_is_documented_and_frozen(kind) -> None:
    assert (kind.__doc__ or "").rstrip().endswith(".")
    assert kind.__setattr__ is not object.__setattr__


def test_an_event_cannot_be_changed() -> None:
    references = ["a"]
    event = MessageAccepted("m", "r", "hi", references)
    references.append("b")
    assert event.references == ("a",)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        event.content = "other"


@pytest.mark.parametrize(
    "shown",
    [
        *[envelope for name, envelope in SAMPLES.items() if name != "alert"],
        *[envelope.event for name, envelope in SAMPLES.items() if name in ("message_accepted", "partial_result")],
        *[
            envelope.event
            for name, envelope in SAMPLES.items()
            if name in ("final_response", "tool_executing", "welcome")
        ],
        Say("How many rows has orders.csv? There are **12** rows.", session_token="header.claims.signature"),
        commands.Refresh("header.claims.signature"),
        commands.Hello(session_token="header.claims.signature"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_user_text_and_tokens_never_print(shown) -> None:
    """Logs and tracebacks hold reprs; a repr holds no user's words, no query and no token."""
    text = repr(shown)
    for private in (
        "orders.csv",
        "There are",
        "SELECT",
        "signature",
        "counted",
        "about data",
        "Counts",
        "One row",
        "<p>",
    ):
        assert private not in text


def test_usage_adds_up() -> None:
    assert Usage(1, 2, 3) + Usage(10, 20, 30) == Usage(11, 22, 33)
    assert Usage() == Usage(0, 0, 0)
