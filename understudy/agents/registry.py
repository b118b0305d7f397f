"""All agents of a server by name: the built-in ones with their tools, and the users' own."""

from collections.abc import Collection, Iterable, Mapping

from understudy.agents.agent import BUILTIN, GUIDE, Agent
from understudy.agents.builtin import business_outcomes, content, guide, insights, operations
from understudy.tools.analysis import analyse_table, find_outliers, join_tables, table_trend
from understudy.tools.arithmetic import calculate
from understudy.tools.charts import chart_table
from understudy.tools.costs import reduce_costs
from understudy.tools.extraction import extract_facts
from understudy.tools.finance import break_even, compare_scenarios, sensitivity_analysis
from understudy.tools.notes import save_note
from understudy.tools.outline import outline_text
from understudy.tools.performance import errors_by_code, open_work, recent_crashes, server_performance, slow_operations
from understudy.tools.questions.tool import answer_question
from understudy.tools.remembering import forget, remember, search_memory
from understudy.tools.server import supervision_tree, system_health
from understudy.tools.tables import profile_table, query_table, tables_installed
from understudy.tools.text import sanitize_content, summarise_text
from understudy.tools.text_diff import compare_texts


def all_agents(own: Iterable[Agent] = (), builtin: Collection[str] = BUILTIN, default: str = "") -> dict[str, Agent]:
    """Return the built-in agents called `builtin` and `own`, by name; a built-in guide hands over to all the others.

    `insights` is left out where the extra `analyst` is not installed. An agent of `own` replaces a built-in agent of
    the same name. The first one answers messages that name no agent: `default`, or else the guide, or else the first
    of `own`.

    Raises:
        ValueError: Two agents have the same name or the same pillar, a name in `builtin`, `default` or the `colleagues`
            of an agent is no agent's, the `memory` of an agent is the name of another that does not share it, or there
            is no agent at all.
    """
    if unknown := [name for name in builtin if name not in BUILTIN]:
        raise ValueError(f"there is no built-in agent {unknown[0]!r}; there are: {', '.join(BUILTIN)}")
    memory = (remember, search_memory, forget)
    liaisons = [
        content([sanitize_content, summarise_text, outline_text, compare_texts, extract_facts, calculate, *memory]),
        insights(
            [
                profile_table,
                analyse_table,
                answer_question,
                query_table,
                table_trend,
                find_outliers,
                join_tables,
                chart_table,
                calculate,
                *memory,
            ]
        ),
        operations(
            [
                system_health,
                server_performance,
                slow_operations,
                errors_by_code,
                recent_crashes,
                open_work,
                supervision_tree,
                calculate,
                *memory,
            ]
        ),
        business_outcomes([compare_scenarios, sensitivity_analysis, break_even, reduce_costs, calculate, *memory]),
    ]
    kept = [name for name in builtin if name != "insights" or tables_installed()]
    named: dict[str, Agent] = {}
    for agent in own:
        if agent.name in named:
            raise ValueError(f"two agents are called {agent.name!r}; give one of them another name")
        named[agent.name] = agent
    agents = {agent.name: agent for agent in liaisons if agent.name in kept} | named
    if GUIDE in builtin and GUIDE not in named:
        agents[GUIDE] = guide(agents.values(), [calculate, summarise_text, system_health, save_note, *memory])
    _check(agents)
    if default and default not in agents:
        raise ValueError(f"the default agent {default!r} does not exist; there are: {', '.join(sorted(agents))}")
    first = default or (GUIDE if GUIDE in agents else next(iter(named or agents)))
    return {first: agents[first]} | agents


def _check(agents: Mapping[str, Agent]) -> None:
    """Raise ValueError if there is no agent, two have one pillar, or one names a colleague that does not exist, or a
    notebook that is another agent's own."""
    if not agents:
        raise ValueError("there is no agent: name one of yours, as MODULE:ATTR, or keep some of the built-in ones")
    pillars: dict[str, str] = {}
    for name, agent in agents.items():
        if agent.pillar is not None and (other := pillars.setdefault(agent.pillar, name)) != name:
            raise ValueError(f"agents {other!r} and {name!r} have the same pillar {agent.pillar!r}; give one another")
        owner = agents.get(agent.notebook, agent)
        if owner is not agent and owner.memory != agent.memory:
            raise ValueError(
                f"agent {name!r} has memory={agent.memory!r}, which is the name of another agent, whose own memory it "
                "would read: give both agents the same memory=, or this one another name"
            )
        for colleague in agent.colleagues:
            if colleague not in agents or colleague == name:
                others = ", ".join(sorted(agents.keys() - {name})) or "none"
                raise ValueError(
                    f"agent {name!r} has the colleague {colleague!r}, which is no other agent here; there are: {others}"
                )
