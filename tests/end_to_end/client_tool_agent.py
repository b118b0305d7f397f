"""An agent for servers that are killed: it calls its client's tool `once`, and then answers."""

from understudy import Agent
from understudy.testing.script import Call, Say, ScriptedModel

agent = Agent("caller", model=ScriptedModel(Call([("once", {})]), Say("sunny")))
