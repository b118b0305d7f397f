"""All agents of a server by name: the built-in ones with their tools, and the users' own."""

from collections.abc import Iterable

from understudy.agents.agent import GUIDE, Agent
from understudy.agents.builtin import business_outcomes, content, guide, insights, operations
from understudy.tools.arithmetic import calculate
from understudy.tools.charts import chart_table
from understudy.tools.finance import compare_scenarios
from understudy.tools.notes import save_note
from understudy.tools.performance import actor_restarts, errors_by_code, open_work, server_performance, slow_operations
from understudy.tools.server import supervision_tree, system_health
from understudy.tools.tables import profile_table, query_table
from understudy.tools.text import sanitize_content, summarise_text


def all_agents(own: Iterable[Agent] = ()) -> dict[str, Agent]:
    """Return the guide, the four liaisons and `own`, by name; the guide hands over to all the others.

    An agent of `own` replaces a built-in agent of the same name.

    Raises:
        ValueError: Two agents have the same name or the same pillar.
    """
    liaisons = [
        content([sanitize_content, summarise_text, calculate]),
        insights([profile_table, query_table, chart_table, calculate]),
        operations(
            [
                system_health,
                server_performance,
                slow_operations,
                errors_by_code,
                actor_restarts,
                open_work,
                supervision_tree,
                calculate,
            ]
        ),
        business_outcomes([compare_scenarios, calculate]),
    ]
    named: dict[str, Agent] = {}
    for agent in own:
        if agent.name in named:
            raise ValueError(f"two agents are called {agent.name!r}; give one of them another name")
        named[agent.name] = agent
    colleagues = {agent.name: agent for agent in liaisons} | {k: v for k, v in named.items() if k != GUIDE}
    pillars = [agent.pillar for agent in colleagues.values() if agent.pillar]
    for pillar in pillars:
        if pillars.count(pillar) > 1:
            raise ValueError(f"two agents have the pillar {pillar!r}; give one of them another")
    first = named.get(GUIDE) or guide(colleagues.values(), [calculate, summarise_text, system_health, save_note])
    return {first.name: first} | colleagues
