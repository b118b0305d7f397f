"""The part of a conversation that a model is given, and notices about omitted messages."""

from typing import Any

import pytest

from tests.end_to_end.chat_client import check_arc, connected
from tests.end_to_end.recording_model import RecordingModel
from tests.end_to_end.test_branches import ended
from transport.connection.limits import Limits


@pytest.mark.promise("wire.limit-history")
async def test_a_long_conversation_is_cut_and_that_is_said(serve: Any) -> None:
    """The model reads of the omission after its instructions, the user in the first thought; the last messages are
    given in order.
    """
    recorder = RecordingModel()
    running = await serve(recorder.agent(), limits=Limits(history_messages=4))
    async with connected(running.address) as client:
        for number in range(1, 5):
            await client.say(f"m{number}", agent_type="script", thread_id="t")
            accepted = await ended(client)
        assert recorder.prompt(2) == ["m1", "answer 1", "m2", "answer 2", "m3"]
        assert "left out" not in recorder.turns[2].instructions
        assert recorder.prompt() == ["m2", "answer 2", "m3", "answer 3", "m4"]
        assert recorder.turns[-1].instructions == (
            f"{recorder.turns[2].instructions}\n\n2 earlier messages of this conversation were left out."
        )
        thoughts = [each for each in client.seen if each["type"] == "agent_thinking" and "left out" in each["message"]]
        assert [each["data"]["thought"] for each in thoughts] == [
            "Only the last 4 messages of this conversation were read; 2 older ones were left out."
        ]
        assert thoughts[0]["run_id"] == accepted["run_id"]
        check_arc(client.durable(accepted["run_id"]))


async def test_queued_messages_are_no_history_of_earlier_ones(serve: Any) -> None:
    """A run's history ends with its own message, although later messages are queued."""
    recorder = RecordingModel()
    running = await serve(recorder.agent())
    async with connected(running.address) as client:
        for number in range(1, 4):
            await client.say(f"m{number}", agent_type="script", thread_id="t")
        for _ in range(3):
            await client.until_end()
    assert [recorder.prompt(turn) for turn in range(3)] == [
        ["m1"],
        ["m1", "answer 1", "m2"],
        ["m1", "answer 1", "m2", "answer 2", "m3"],
    ]


async def test_a_single_message_that_is_left_out_is_named_in_the_singular(serve: Any) -> None:
    """The third message follows four, of which the model is given three; earlier runs have no notice."""
    running = await serve(RecordingModel().agent(), limits=Limits(history_messages=3))
    async with connected(running.address) as client:
        for number in range(1, 4):
            await client.say(f"m{number}", agent_type="script", thread_id="t")
            await ended(client)
        thoughts = [each["data"]["thought"] for each in client.seen if each["type"] == "agent_thinking"]
    assert [thought for thought in thoughts if "left out" in thought] == [
        "Only the last 3 messages of this conversation were read; 1 older one was left out."
    ]
