"""Users' own agents, named on the command line as MODULE:ATTR."""

import importlib
import os
import sys
from collections.abc import Sequence

from understudy.agents.agent import Agent


class CannotLoad(ValueError):
    """A name on the command line does not lead to an agent; the text says why."""


def load_agents(names: Sequence[str]) -> list[Agent]:
    """Import each `MODULE:ATTR`, an `Agent` or a list of them, also from the current folder.

    Raises:
        CannotLoad: There is no such module or attribute, it fails to import, or it is no agent.
    """
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    return [agent for name in names for agent in _load(name)]


def _load(name: str) -> list[Agent]:
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise CannotLoad(f"{name!r} is not of the form MODULE:ATTR, for example my_app:support")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise CannotLoad(f"cannot import {module_name!r}: {error}") from error
    try:
        found = getattr(module, attribute)
    except AttributeError as error:
        raise CannotLoad(f"{module_name!r} has no attribute {attribute!r}") from error
    agents = list(found) if isinstance(found, list | tuple) else [found]
    for agent in agents:
        if not isinstance(agent, Agent):
            raise CannotLoad(f"{name} is {type(agent).__name__}, not an understudy.Agent")
    return agents
