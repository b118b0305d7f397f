"""Describes an agent's abilities in the form of AG-UI's capabilities. A field left out means unknown."""

from importlib.metadata import version
from typing import Any

from understudy.agents.agent import Agent
from understudy.models.model import Model, limits_of
from understudy.storage.limits import RunLimits


def capabilities(agent: Agent, model: Model, limits: RunLimits) -> dict[str, Any]:
    """Return the `AgentCapabilities` of an agent, already limited to its user's rights, that answers by this model."""
    tools = [
        {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
        for tool in agent.tools
    ]
    budget = agent.budget.within(limits, agent.name)
    subagents = [
        {"name": tool.agent.name, "description": tool.agent.description}
        for tool in agent.tools
        if tool.agent is not None
    ]
    turns = {} if budget.turns is None else {"maxIterations": budget.turns}
    return {
        "identity": {
            "name": agent.name,
            "type": "understudy",
            "description": agent.description,
            "version": version("understudy-server"),
            "metadata": {
                "understudy": {"title": agent.display_title, "starters": [starter.text for starter in agent.starters]}
            },
        },
        "transport": {"streaming": True, "websocket": False, "httpBinary": False, "resumable": True},
        "tools": {
            "supported": bool(tools),
            "items": tools,
            "parallelCalls": True,
            "clientProvided": agent.takes_client_tools,
        },
        "state": {"snapshots": True, "deltas": True, "persistentState": False, "memory": agent.remembers},
        "multiAgent": {
            "supported": bool(subagents or agent.colleagues),
            "delegation": bool(subagents),
            "handoffs": bool(agent.colleagues),
            "subagents": subagents,
        },
        "reasoning": {"supported": True, "streaming": False, "encrypted": False},
        "multimodal": {"input": {"image": limits_of(model).images, "file": True}},
        "execution": {"maxExecutionTime": round(agent.run_limit_s(limits.run_s) * 1000), **turns},
        "humanInTheLoop": {
            "supported": True,
            "approvals": True,
            "interventions": True,
            "feedback": True,
            "interrupts": True,
            "approveWithEdits": False,
        },
    }
