"""`history_valid`: random histories of a branch, as requests that the providers' published rules are held against."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any

from attrs import evolve

from benchmarks.agents.conversations import TOOLS, Maker
from benchmarks.agents.progress import Extent, Progress
from benchmarks.agents.provider_rules import faults
from benchmarks.figure import Figure
from understudy.chat.run.history import exchange_items, question_item
from understudy.chat.run.model_input import ModelInput
from understudy.chat.run.window import NONE
from understudy.models.model import (
    AgentCard,
    FileCard,
    ImagePart,
    Item,
    MessageItem,
    ModelLimits,
    NoteItem,
    ToolCard,
    Turn,
)
from understudy.models.openai_request import build_request

HISTORIES = 100_000
SMALL = 300
CARDS = tuple(ToolCard(name, "A tool.", {"type": "object", "properties": {}}) for name in TOOLS)
ME = AgentCard("guide", "Guide", "Helps.", CARDS)


def request(chance: random.Random) -> dict[str, Any]:
    """Return the request for the last message of a random branch, whose run was maybe resumed or compacted."""
    maker = Maker(chance, size=chance.choice((20, 300)), bad=chance.choice((0.02, 0.1, 0.3)))
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
    given.load(items, NONE)
    for item in live:
        given.add([item])
        planned = given.planned(100, 500)
        if planned != given.compaction:
            given.compact(evolve(planned, summary="They asked, and were told."))
    notes = (NoteItem("3 turns are left."),) if chance.random() < 0.3 else ()
    tools = CARDS if chance.random() < 0.9 else ()
    return build_request(Turn(ME, tuple(given.shown), "Be brief.", tools, notes=notes), "m")


def refused(numbers: Iterable[int], seed: int = 1) -> Iterator[list[str]]:
    """Yield the faults of each refused request among the random ones of these numbers."""
    for number in numbers:
        if found := faults(request(random.Random(seed * 10_000_019 + number))):
            yield found


def figures(extent: Extent) -> Iterator[Figure]:
    """Yield how many of the requests are refused."""
    progress = Progress("history", SMALL if extent.small else HISTORIES, extent.limit_s)
    found = sum(1 for _ in refused(progress.each(range(progress.wanted))))
    yield Figure("history_valid", f"refused of {progress.done:,}", float(found))
