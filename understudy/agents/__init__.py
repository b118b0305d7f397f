"""Agents: the declaration `Agent`, and the guide and the liaisons that come with the server.

The run of an agent is in `chat.run`, the call of a model in `models`.
"""

from understudy.agents.agent import Agent as Agent
from understudy.agents.builtin import business_outcomes as business_outcomes
from understudy.agents.builtin import content as content
from understudy.agents.builtin import guide as guide
from understudy.agents.builtin import insights as insights
from understudy.agents.builtin import operations as operations
