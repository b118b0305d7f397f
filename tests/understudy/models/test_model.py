"""The vocabulary of models: what is told of a tool call, and what an error keeps to itself."""

import json
import pickle

import pytest

from understudy.models import ChatMessage, Model, ModelUnavailable, OfflineModel, ToolCall, Turn, tool_message
from understudy.models.model import AgentCard

CALL = ToolCall("c-1", "lookup", {"order_id": "A-17"}, "Look up A-17")


def test_a_result_is_told_with_its_summary() -> None:
    """As JSON, with the call it answers."""
    message = tool_message(CALL, "ok", {"status": "shipped"}, "Shipped.")
    assert (message.role, message.call_id, message.tool_name, message.status) == ("tool", "c-1", "lookup", "ok")
    assert json.loads(message.content) == {"summary": "Shipped.", "value": {"status": "shipped"}}


@pytest.mark.parametrize("status", ["failed", "timed_out", "cancelled", "killed"])
def test_a_failure_is_told_with_its_reason(status: str) -> None:
    """And no value."""
    message = tool_message(CALL, status, {"half": 1}, "No such order.")
    assert json.loads(message.content) == {"status": status, "error": "No such order."}


def test_an_error_survives_pickling() -> None:
    """With all it knows."""
    error = pickle.loads(pickle.dumps(ModelUnavailable("Busy.", True, "RateLimitError 429")))
    assert (str(error), error.retryable, error.detail) == ("Busy.", True, "RateLimitError 429")
    assert isinstance(error, ConnectionError)


def test_what_users_write_is_not_printed() -> None:
    """Neither their words nor what they gave to tools."""
    turn = Turn(AgentCard("support"), (ChatMessage("user", "my secret", (CALL,)),), "my instructions")
    assert "my secret" not in repr(turn)
    assert "my instructions" not in repr(turn)
    assert "A-17" not in repr(ToolCall("c", "lookup", {"order_id": "A-17"}))


def test_the_offline_model_is_a_model() -> None:
    """For the type checker, and with what the page shows."""
    model: Model = OfflineModel()
    assert model.name == "offline"
    assert model.notice
