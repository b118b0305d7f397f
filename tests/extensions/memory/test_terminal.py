"""`/memory` and `/forget` in `understudy chat`."""

from typing import Any

from tests.rigs.scripted_model import Call, Say, ScriptedModel
from tests.rigs.terminal_chat import talking
from understudy import Agent, remember


async def test_what_is_remembered_is_listed_changed_and_forgotten(chat_house: Any) -> None:
    remember_call = Call([("remember", {"fact": "I prefer euros"})])
    keeper = Agent("keeper", tools=[remember], memory="household", model=ScriptedModel(remember_call, Say("Noted.")))
    async with talking(await chat_house(keeper), "keeper") as sitter:
        await sitter.enter("/memory", "I prefer euros", answered="Noted")
        assert "nothing is remembered about you" in sitter.notes.getvalue()
        await sitter.enter("/memory", told="household/prefer_euros: I prefer euros")
        await sitter.enter("/memory prefer_euros I prefer yen", "/memory", told="household/prefer_euros: I prefer yen")
        await sitter.enter("/forget prefer_yen", told="name one of household/prefer_euros")
        await sitter.enter(f"/memory prefer_euros {'x' * 9000}", told="✗ the server refused with 413")
        await sitter.enter("/forget household/prefer_euros", told="household/prefer_euros is forgotten")
        await sitter.enter("/forget everything", told="everything is forgotten")
