"""`prefix_kept`: how much of each request is byte for byte the beginning of the one before it.

A conversation of many messages, each with some tool calls, on a window that it outgrows several times; after each
message the items are derived again from the stored steps, as another run and another node would.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from itertools import takewhile

from attrs import evolve

from benchmarks.agents.conversations import Maker
from benchmarks.agents.history import CARDS, ME
from benchmarks.agents.progress import Extent
from benchmarks.figure import Figure
from understudy.chat.run.history import exchange_items
from understudy.chat.run.window import NONE, ModelInput, describe
from understudy.extensions.openai.chat_request import build_request
from understudy.models.model import CallItem, Item, ModelLimits, NoteItem, Turn

MESSAGES = 60
INSTRUCTIONS = "You help the customers of a shop with their orders. " * 20


def conversation(messages: int, window_tokens: int, seed: int = 1) -> Iterator[str]:
    """Yield the bodies of all requests of one conversation, in order, as far as prompt caches look at them."""
    maker = Maker(random.Random(seed), size=2_000, bad=0.0)
    stored: list[Item] = []
    compaction = NONE
    for _ in range(messages):
        given = ModelInput(ModelLimits(window_tokens, 2_000))
        given.compact(compaction, list(stored))
        exchange = maker.exchange(maker.chance.randrange(2, 7))
        turns: list[list[Item]] = [[]]
        for item in exchange_items(exchange, {}):
            if isinstance(item, CallItem) and turns[-1] and item.origin != turns[-1][-1].origin:
                turns.append([])
            turns[-1].append(item)
        for number, turn in enumerate(turns):
            given.add(turn)
            planned = given.planned(600, 2_000)
            if planned != given.compaction:
                summary = describe(given.older(planned)) if planned.start != given.compaction.start else planned.summary
                given.compact(evolve(planned, summary=summary))
            notes = (NoteItem(f"{len(turns) - number} turns are left."),)
            body = build_request(Turn(ME, tuple(given.shown), INSTRUCTIONS, CARDS, notes=notes), "m")
            yield json.dumps({"tools": body["tools"], "messages": body["messages"]}, ensure_ascii=False)
        compaction = given.compaction
        stored = [*stored, *exchange_items(exchange, {})]


def kept(messages: int, window_tokens: int) -> float:
    """Return the part of all requests from the second on that is the unchanged beginning of the one before, in %."""
    before, same, total = "", 0, 0
    for body in conversation(messages, window_tokens):
        if before:
            same += sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, body, strict=False)))
            total += len(body)
        before = body
    return 100 * same / total


def figures(extent: Extent) -> Iterator[Figure]:
    """Yield the part for a usual window, and for one that the conversation outgrows often: some seconds in all."""
    messages = 12 if extent.small else MESSAGES
    yield Figure("prefix_kept", "%", round(kept(messages, 128_000), 2))
    yield Figure("prefix_kept_32k", "%", round(kept(messages, 32_000), 2))
