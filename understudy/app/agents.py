"""Opens the models of a server's agents, and builds the loop on which their async tools run."""

from collections.abc import Mapping

from understudy.agents.agent import Agent, with_subagents
from understudy.agents.framework import is_of_framework
from understudy.agents.permissions import model_names
from understudy.app.settings import Settings
from understudy.extension import Extension
from understudy.models.model import Model, ModelLimits, limits_of
from understudy.models.prices import PriceTable
from understudy.models.providers import OFFLINE
from understudy.models.registry import Models, costs_unknown
from understudy.observe.health import Breakers
from understudy.tools.lifespan import SERVER, Lifespan, names_asyncio
from understudy.tools.loop import ToolLoop


def open_models(
    settings: Settings, known: Mapping[str, Agent], extensions: Mapping[str, Extension], breakers: Breakers
) -> Models:
    """Make the clients of all models. Blocks for a second: a provider's package is imported.

    Raises:
        ValueError: An agent's settings exceed those of its model, or its limits exclude each other.
    """
    limits = ModelLimits(
        settings.models.window_tokens, settings.output_tokens, settings.models.images, settings.models.documents
    )
    words_per_s, timeouts, providers = settings.models.words_per_s, settings.models.timeouts, settings.providers
    models = Models(
        settings.model, words_per_s, breakers.record_change, limits, timeouts, providers, extensions,
        settings.models.prices,
    )  # fmt: skip
    for agent in known.values():
        agent.run_limit_s(settings.limits.run_s)
        if agent.budget.within(settings.limits, agent.name).cost is not None:
            check_priced(agent, settings.model, settings.models.prices)
        try:
            check_output(agent, models.of(agent.model))
        except ValueError as error:
            raise ValueError(f"agent {agent.name!r}: {error}") from error
    return models


def check_priced(agent: Agent, default_model: str, prices: PriceTable) -> None:
    """Refuse an agent with a limit of cost if its model has no price, because the cost could not be counted.

    Raises ValueError.
    """
    for name in model_names(agent, default_model):
        if costs_unknown(name, prices):
            raise ValueError(
                f"agent {agent.name!r} has a limit of cost, but its model {name!r} has no price: add "
                f'[understudy.models.prices."{name}"] to the settings'
            )


def check_output(agent: Agent, model: Model) -> None:
    """Refuse an agent whose replies may be longer than those of its model. Raises ValueError."""
    tokens, most = agent.settings.max_output, limits_of(model).max_output
    if model.name != OFFLINE and tokens is not None and tokens > most:
        raise ValueError(
            f"its max_output is {tokens:,} tokens, but its model writes at most {most:,}: lower it, or raise "
            "models.max_output, or the `limits` of a model of your own"
        )


def build_tool_loop(agents: Mapping[str, Agent], lifespan: Lifespan | None) -> ToolLoop | None:
    """Build the loop on which users' async tools run. Return None if no tool, lifespan or agent function needs it."""
    agents = with_subagents(agents.values())
    tools = [tool for agent in agents.values() for tool in agent.tools if tool.on_tools_loop]
    lifespans = {} if lifespan is None else {SERVER: lifespan}
    lifespans |= {name: agent.lifespan for name, agent in agents.items() if agent.lifespan is not None}
    functions = [agent.run for agent in agents.values() if agent.run is not None and not is_of_framework(agent.run)]
    if not (tools or lifespans or functions):
        return None
    return ToolLoop(lifespans, asyncio=any(tool.asyncio for tool in tools) or any(map(names_asyncio, functions)))
