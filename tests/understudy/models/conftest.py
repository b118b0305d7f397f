"""Fixtures: a provider to talk to, and a record of what a model says on the way."""

from collections.abc import Iterator

import pytest

from tests.understudy.models.provider import Provider
from understudy.models.model import ModelEvent, TextDelta, Thought


class Heard:
    """What a model has emitted so far."""

    def __init__(self) -> None:
        self.events: list[ModelEvent] = []

    async def __call__(self, event: ModelEvent) -> None:
        self.events.append(event)

    @property
    def text(self) -> str:
        """All text pieces together."""
        return "".join(each.text for each in self.events if isinstance(each, TextDelta))

    @property
    def thoughts(self) -> list[str]:
        """All thoughts."""
        return [each.text for each in self.events if isinstance(each, Thought)]


@pytest.fixture
def heard() -> Heard:
    """What the model of this test emits."""
    return Heard()


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A provider on a port of its own; it is gone after the test."""
    with Provider() as running:
        yield running
