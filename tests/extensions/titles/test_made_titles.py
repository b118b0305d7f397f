"""Whose model makes a title. The requests themselves are in `test_titles.py`."""

from types import SimpleNamespace
from typing import Any

import pytest

from understudy.agents.agent import Agent
from understudy.extensions.titles.made_titles import model_for_titles
from understudy.models.fallback import FallbackModel
from understudy.models.model import Emit, Reply, Turn
from understudy.models.offline import OfflineModel


class Titling:
    notice = ""
    titles = True

    def __init__(self, name: str) -> None:
        self.name = name

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        return Reply()


class Silent(Titling):
    titles = False


async def by_hand(_: Any) -> str:
    return "Done."


def request_for(agent: Agent, default: Any = None, /, **request: Any) -> Any:
    services = SimpleNamespace(
        agents={agent.name: agent},
        models=SimpleNamespace(default="provider:default", of=lambda wanted: default if wanted is None else wanted),
    )
    arguments = {"agent": agent.name, "thread_id": "t", "settings": {}} | request
    return model_for_titles(services, SimpleNamespace(**arguments))  # type: ignore[arg-type]


def test_the_model_of_the_agent_makes_the_title() -> None:
    of_agent, default = Titling("own"), Titling("default")
    assert request_for(Agent("script", model=of_agent), default) == (of_agent, "own")
    assert request_for(Agent("script"), default) == (default, "provider:default")


def test_of_a_chain_the_first_that_can() -> None:
    first, second = Titling("b"), Titling("c")
    chain = FallbackModel((Silent("a"), first, second), ("p:a", "p:b", "p:c"))
    assert request_for(Agent("script", model=chain)) == (first, "p:b")
    assert request_for(Agent("script", model=FallbackModel((Silent("a"), Silent("d")), ("p:a", "p:d")))) is None


@pytest.mark.parametrize(
    ("agent", "request_of"),
    [
        (Agent("script", model=OfflineModel()), {}),
        (Agent("script", model=Silent("a")), {}),
        (Agent("script", run=by_hand), {}),
        (Agent("script", model=Titling("a")), {"thread_id": "once_1"}),
        (Agent("script", model=Titling("a")), {"settings": {"tool": "find"}}),
        (Agent("script", model=Titling("a")), {"agent": "gone"}),
    ],
    ids=["offline", "cannot", "hand-written", "unlisted", "tool", "gone"],
)
def test_others_make_none(agent: Agent, request_of: dict[str, Any]) -> None:
    assert request_for(agent, Titling("default"), **request_of) is None
