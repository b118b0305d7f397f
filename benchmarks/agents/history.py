"""`history_valid`: random histories of a branch, as requests that the providers' published rules are held against."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any

from attrs import evolve

from benchmarks.agents import responses_rules
from benchmarks.agents.conversations import TOOLS, Maker
from benchmarks.agents.messages_rules import message_faults
from benchmarks.agents.progress import Extent, Progress
from benchmarks.agents.provider_rules import faults
from benchmarks.figure import Figure
from understudy.chat.run.history import exchange_items, question_item
from understudy.chat.run.window import NONE, ModelInput
from understudy.extensions.anthropic import request as anthropic_request
from understudy.extensions.openai import chat_request, request
from understudy.extensions.providers.accepted import Adaptation
from understudy.models.model import (
    AgentCard,
    FileCard,
    ImagePart,
    Item,
    MessageItem,
    ModelLimits,
    ModelSettings,
    NoteItem,
    ToolCard,
    Turn,
)

HISTORIES = 100_000
SMALL = 300
CARDS = tuple(ToolCard(name, "A tool.", {"type": "object", "properties": {}}) for name in TOOLS)
ME = AgentCard("guide", "Guide", "Helps.", CARDS)


def turn(chance: random.Random) -> Turn:
    """Return the input for the last message of a random branch, whose run was maybe resumed or compacted."""
    maker = Maker(chance, size=chance.choice((20, 300)), bad=chance.choice((0.02, 0.1, 0.3)), thinks=True)
    items: list[Item] = [NoteItem("2 earlier messages were left out.")] if chance.random() < 0.2 else []
    for _ in range(chance.randrange(5)):
        items += exchange_items(maker.exchange(chance.randrange(4)), {})
    image = {"f": ImagePart("f", "image/png", b"x")} if chance.random() < 0.1 else None
    newest = maker.exchange(chance.randrange(4), ends=False)
    live = exchange_items(evolve(newest, status="running"), {})
    while isinstance(live[-1], MessageItem) and live[-1].role == "assistant":  # that run would have ended with it
        live.pop()
    live[0] = question_item(
        newest.message.id, newest.run_id or "", newest.message.content, ("f",), {"f": FileCard("f", "a.csv")}, image
    )
    limits = ModelLimits(chance.choice((2_000, 4_000, 128_000)), 500)
    given = ModelInput(limits)
    given.compact(NONE, list(items))
    for item in live:
        given.add([item])
        planned = given.planned(100, 500)
        if planned != given.compaction:
            given.compact(evolve(planned, summary="They asked, and were told."))
    notes = (NoteItem("3 turns are left."),) if chance.random() < 0.3 else ()
    tools = CARDS if chance.random() < 0.9 else ()
    settings = ModelSettings(
        effort=chance.choice((None, "none", "low", "high")),
        tool_choice=chance.choice((None, None, "required", TOOLS[0])),
    )
    partial = "So far" if chance.random() < 0.1 else ""
    return Turn(ME, tuple(given.shown), "Be brief.", tools, notes=notes, settings=settings, partial_text=partial)


def message_request(asked: Turn) -> dict[str, Any]:
    """Return the request of Anthropic's messages, to a model of earlier generations if the turn has an even length."""
    taken = Adaptation() if len(asked.items) % 2 else Adaptation(ways=frozenset({"thinking with a budget"}))
    return taken.written(anthropic_request.build_request(asked, "m"))


def refused(numbers: Iterable[int], seed: int = 1) -> Iterator[list[str]]:
    """Yield the faults of each turn among the random ones of these numbers that a provider would refuse."""
    for number in numbers:
        asked = turn(random.Random(seed * 10_000_019 + number))
        found = [*faults(chat_request.build_request(asked, "m")), *response_faults(asked)]
        if found := [*found, *message_faults(message_request(asked))]:
            yield found


def response_faults(asked: Turn) -> list[str]:
    """Return why the Responses API would refuse a request."""
    return responses_rules.faults(request.build_request(asked, "m"))


def figures(extent: Extent) -> Iterator[Figure]:
    """Yield how many of the requests are refused."""
    progress = Progress("history", SMALL if extent.small else HISTORIES, extent.limit_s)
    found = sum(1 for _ in refused(progress.each(range(progress.wanted))))
    yield Figure("history_valid", f"refused of {progress.done:,}", float(found))
