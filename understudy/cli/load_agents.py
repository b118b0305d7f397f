"""Loads the user's own agents, which the command line names as MODULE:ATTR."""

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from understudy.agents.agent import Agent
from understudy.cli.options import FixableError
from understudy.suggestion import did_you_mean


def load_agents(names: Sequence[str]) -> list[Agent]:
    """Import each `MODULE:ATTR`, an `Agent` or a list of them. The current folder is searched too.

    Raises:
        FixableError: The module or attribute does not exist, its import fails, or it is no agent.
    """
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    return [agent for name in names for agent in _load(name)]


def _load(name: str) -> list[Agent]:
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise FixableError(f"{name!r} is not of the form MODULE:ATTR, for example my_app:support")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a user's module may raise anything
        raise FixableError(
            f"cannot import {module_name!r}: {type(error).__name__}: {error}{_location(error)}"
        ) from error
    try:
        value = getattr(module, attribute)
    except AttributeError as error:
        hint = did_you_mean(attribute, (symbol for symbol, other in vars(module).items() if isinstance(other, Agent)))
        raise FixableError(f"{module_name!r} has no attribute {attribute!r}{hint}") from error
    agents = list(value) if isinstance(value, list | tuple) else [value]
    if not agents:
        raise FixableError(f"{name} is empty: it should be an understudy.Agent or a list of them")
    for agent in agents:
        if not isinstance(agent, Agent):
            raise FixableError(f"{name} is {type(agent).__name__}, not an understudy.Agent")
    return agents


def _location(error: Exception) -> str:
    """Return where the import failed in the code of the user, as ` (FILE, line N)`; empty if it was not reached."""
    if isinstance(error, SyntaxError):
        return ""  # its own text says where
    frames = traceback.extract_tb(error.__traceback__)
    ours = (str(Path(__file__).parent.parent), str(importlib.__file__), "<")  # "<": code that attrs has generated
    theirs = [frame for frame in frames if not frame.filename.startswith(ours)]
    return f" ({os.path.basename(theirs[-1].filename)}, line {theirs[-1].lineno})" if theirs else ""
