"""Liaisons: agents that come with the server, each with the tools of one pillar.

The guide hands over to them. They use only what other agents can use too.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from understudy.extension import Extension

if TYPE_CHECKING:
    from understudy.agents.agent import Agent


class Liaisons(Extension):
    """See the module."""

    name = "liaisons"
    about = "agents for texts, investments, and how the server does"

    def agents(self) -> "Sequence[Agent]":
        """Return one agent for each pillar."""
        from understudy.extensions.liaisons.agents import LIAISONS

        return LIAISONS


EXTENSION: Final = Liaisons()
