"""All agents of a server by name: the built-in ones, those of extensions, and the users' own."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from understudy.agents.agent import BUILTIN, GUIDE, Agent, with_subagents
from understudy.agents.builtin import guide
from understudy.agents.story import STORY
from understudy.installed import brought, chosen, installed, missing
from understudy.suggestion import did_you_mean
from understudy.tools.arithmetic import calculate
from understudy.tools.remembering import forget, remember, search_memory
from understudy.tools.server import system_health


def all_agents(
    own: Iterable[Agent] = (), builtin: Collection[str] | None = None, default: str = "", extensions: Sequence[str] = ()
) -> dict[str, Agent]:
    """Return the built-in agents called `builtin` and `own`, by name; a built-in guide hands over to all the others.

    `extensions` is the setting of that name. Agents of extensions count as built in; `builtin` None stands for all. An
    agent of `own` replaces a built-in agent of the same name. The first one answers messages that name no agent:
    `default`, or else the guide, or else the first of `own`.

    Raises:
        ValueError: Two agents have the same name or the same pillar, a name in `builtin`, `default` or the `colleagues`
            of an agent is no agent's, the `memory` of an agent is the name of another that does not share it, an
            extension's agents cannot be loaded, an agent needs an extension that is off, or there is no agent at all.
    """
    others = {} if builtin is not None and not builtin else _of_extensions(extensions)
    every = (*BUILTIN, *others)
    builtin = every if builtin is None else builtin
    if unknown := [name for name in builtin if name not in every]:
        meant = did_you_mean(unknown[0], every)
        raise ValueError(f"there is no built-in agent {unknown[0]!r}{meant}; there are: {', '.join(every)}")
    named: dict[str, Agent] = {}
    for agent in own:
        if agent.name in named:
            raise ValueError(f"two agents are called {agent.name!r}; give one of them another name")
        named[agent.name] = agent
    agents = {name: agent for name, agent in others.items() if name in builtin and name not in named} | named
    if GUIDE in builtin and GUIDE not in named:
        agents[GUIDE] = guide(agents.values(), [calculate, system_health, remember, search_memory, forget])
    if STORY.name in builtin and STORY.name not in named:  # no colleague of the guide: nobody is handed over to it
        agents[STORY.name] = STORY
    _check(agents)
    _check_extensions(agents, extensions)
    if default and default not in agents:
        meant = did_you_mean(default, agents)
        raise ValueError(f"the default agent {default!r} does not exist{meant}; there are: {', '.join(sorted(agents))}")
    first = default or (GUIDE if GUIDE in agents else next(iter(named or agents)))
    return {first: agents[first]} | agents


def _of_extensions(names: Sequence[str]) -> dict[str, Agent]:
    """Return the agents of the extensions that are on, by name. Raises ValueError if one has a name that is taken."""
    agents: dict[str, tuple[str, Agent]] = {}
    for extension in chosen(names).values():
        for agent in brought(extension.agents):
            if agent.name in agents or agent.name in BUILTIN:
                other = f"the extension {agents[agent.name][0]}" if agent.name in agents else "this server"
                raise ValueError(f"the extension {extension.name} brings an agent {agent.name!r}, as {other} does")
            agents[agent.name] = extension.name, agent
    return {name: agent for name, (_, agent) in agents.items()}


def _check_extensions(agents: Mapping[str, Agent], names: Sequence[str]) -> None:
    """Raise ValueError if an agent needs an extension that is off."""
    on = chosen(names)
    for agent in with_subagents(agents.values()).values():
        for name in agent.extensions:
            if name not in on:
                how = missing(installed()[name]) or "have it on by the setting `extensions`, or leave the agent out"
                raise ValueError(f"agent {agent.name!r} needs the extension {name}, which is off: {how}")


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
                others = sorted(agents.keys() - {name})
                raise ValueError(
                    f"agent {name!r} has the colleague {colleague!r}, which is no other agent here"
                    f"{did_you_mean(colleague, others)}; there are: {', '.join(others) or 'none'}"
                )
