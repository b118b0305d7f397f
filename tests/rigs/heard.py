"""Fixtures: a local provider, and a record of the events that a model emits."""

from collections.abc import Iterator

import pytest

from tests.rigs.model_provider import Provider
from understudy.models.model import ModelEvent, TextDelta, Thought


class Heard:
    """Keeps the events that a model emits."""

    def __init__(self) -> None:
        self.events: list[ModelEvent] = []

    async def __call__(self, event: ModelEvent) -> None:
        self.events.append(event)

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))

    @property
    def thoughts(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Thought)]


@pytest.fixture(params=["chat", "responses", "messages"])
def api(request: pytest.FixtureRequest) -> str:
    """The name of each of the three model APIs."""
    return str(request.param)


@pytest.fixture
def heard() -> Heard:
    """Return a new record."""
    return Heard()


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A local provider that runs."""
    with Provider() as running:
        yield running
