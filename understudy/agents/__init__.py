"""Agents: who answers. `Agent` is the declaration; the guide and the liaisons come with the server."""

from understudy.agents.agent import Agent as Agent
from understudy.agents.guide import guide as guide
from understudy.agents.liaisons import business_outcomes as business_outcomes
from understudy.agents.liaisons import content as content
from understudy.agents.liaisons import insights as insights
from understudy.agents.liaisons import operations as operations
