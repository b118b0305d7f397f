"""What tests ask models of providers: turns of an agent that looks up orders."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anthropic  # noqa: F401 - half a second that belongs to no test
import openai  # noqa: F401 - the same
import pytest
import trio

from understudy.models.model import AgentCard, Item, MessageItem, ToolCard, Turn

M = TypeVar("M", bound=Any)
LOOKUP = ToolCard("lookup", "Look up an order.", {"type": "object", "properties": {"order_id": {"type": "string"}}})
ME = AgentCard("support", "Support", "Looks up orders.")
COLLEAGUE = AgentCard("insights", "Insights", "Charts tables.")
OVER_SDK = [
    pytest.mark.filterwarnings("ignore:Async generator '(httpx2|httpcore|openai|anthropic):ResourceWarning"),
    pytest.mark.blocking("the provider's package builds what it needs at its first request, for some 60 ms"),
]
"""Marks of tests that ask a provider through its package, whose HTTP stack leaves generators to the collector."""


def a_turn(*items: Item, **more: Any) -> Turn:
    """Return a turn of these items."""
    return Turn(ME, items or (MessageItem("user", "Hello"),), "Be brief.", **more)


@asynccontextmanager
async def closing(model: M) -> AsyncIterator[M]:
    """Close a model at the end of the block."""
    try:
        with trio.fail_after(60):
            yield model
    finally:
        with trio.CancelScope(shield=True):
            await model.aclose()
