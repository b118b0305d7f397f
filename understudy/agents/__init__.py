"""Agents: the declaration `Agent`, and the guide and the liaisons that come with the server.

How an agent's run goes on stands in `chat.run`, and how a model is called in `models`.
"""

from understudy.agents.agent import Agent as Agent
from understudy.agents.guide import guide as guide
from understudy.agents.liaisons import business_outcomes as business_outcomes
from understudy.agents.liaisons import content as content
from understudy.agents.liaisons import insights as insights
from understudy.agents.liaisons import operations as operations
