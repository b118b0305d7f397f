"""Without the extension a message is answered again from its beginning only."""

import pytest

from transport.wire.errors import CommandRejected
from understudy import Agent, tool
from understudy.testing import Call, Say, ScriptedModel, open_session
from understudy.wire.commands import Regenerate
from understudy.wire.events import MessageAccepted, ToolCompleted


@tool(retry_safe=True)
async def look(word: str) -> str:
    """Look a word up."""
    return f"{word} is a plant"


async def test_neither_a_run_nor_one_of_its_calls_is_gone_on_with() -> None:
    agent = Agent("a", model=ScriptedModel(Call([("look", {"word": "sage"})]), Say("A plant.")), tools=[look])
    async with open_session(agent, extensions=["-continuing"]) as session:
        first = await session.say("What is sage?")
        with pytest.raises(CommandRejected) as refused:
            await session.continue_answer(first)
        assert refused.value.code == "unknown_type"
        message_id, call_id = first.of(MessageAccepted)[0].message_id, first.of(ToolCompleted)[0].call_id
        chat = session._context.chat
        with pytest.raises(CommandRejected, match="from its beginning only"):
            await chat.accept(session.identity, Regenerate(message_id, call_id=call_id))
        again = await chat.accept(session.identity, Regenerate(message_id))
        assert again.run_id
