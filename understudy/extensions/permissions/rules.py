"""Reads the rules of a permissions file, and compares them with a server."""

from collections.abc import Mapping
from typing import Any, Final

from understudy.agents.agent import Agent, with_subagents
from understudy.agents.permissions import ANY, BOUNDS, Allowance, Rules, model_names
from understudy.auth.allow import Allowed, groups_of, read_allowed
from understudy.extensions.spending.settings import SpendingSettings
from understudy.models.prices import PriceTable
from understudy.models.registry import costs_unknown
from understudy.suggestion import did_you_mean

TABLES: Final = ("agents", "tools", "models")
TOGETHER: Final = "together"
"""The table within a budget that limits the spending of all users of its entry together."""


class BadRules(ValueError):
    """Rules that are malformed, or that do not fit the server; the text lists all faults."""


def parse_rules(read: Mapping[str, Any]) -> Rules:
    """Return the rules of a parsed TOML file.

    Raises:
        BadRules: A name is unknown, or a value is malformed; the text lists all faults.
    """
    faults = [f"{name} is not known" for name in read if name not in ("groups", "budgets", *TABLES)]
    groups = read.get("groups", [])
    if not isinstance(groups, list) or not all(isinstance(group, str) and group.strip() for group in groups):
        faults.append("groups must be a list of names")
        groups = []
    lists: dict[str, dict[str, Allowed]] = {name: {} for name in TABLES}
    for name, table in lists.items():
        for key, entries in _table(read, name, faults).items():
            try:
                if not isinstance(entries, list):
                    raise TypeError('a list of entries is needed, such as ["group:NAME"]')
                table[key] = read_allowed(entries, "it")
            except (TypeError, ValueError) as error:
                faults.append(f"{name}.{key}: {error}")
    budgets: dict[str, Allowance] = {}
    together: dict[str, Allowance] = {}
    for key, bounds in _table(read, "budgets", faults).items():
        try:
            read_allowed([key], "it")
            alone = bounds
            if isinstance(bounds, dict) and TOGETHER in bounds:
                if key.startswith("user:"):
                    raise ValueError(f"one user has nothing {TOGETHER}; give the bounds without it")
                together[key] = _read_allowance(bounds[TOGETHER])
                alone = {name: value for name, value in bounds.items() if name != TOGETHER}
            if alone or key not in together:
                budgets[key] = _read_allowance(alone)
        except (TypeError, ValueError) as error:
            faults.append(f"budgets.{key}: {error}")
    rules = Rules(tuple(groups), lists["agents"], lists["tools"], lists["models"], budgets, together)
    if faults:
        raise BadRules("; ".join(faults))
    return rules


def _read_allowance(bounds: Any) -> Allowance:
    """Return the bounds of a table. Raises TypeError and ValueError."""
    if not isinstance(bounds, dict) or not bounds or not set(bounds) <= set(BOUNDS):
        raise ValueError(f"must be a table with some of {', '.join(BOUNDS)}")
    return Allowance(**bounds)


def _table(read: Mapping[str, Any], name: str, faults: list[str]) -> Mapping[str, Any]:
    table = read.get(name, {})
    if isinstance(table, dict):
        return table
    faults.append(f"{name} must be a table")
    return {}


def check_rules(
    rules: Rules, agents: Mapping[str, Agent], default_model: str, limits: SpendingSettings, prices: PriceTable
) -> None:
    """Refuse rules that do not fit a server with these agents, limits and prices.

    `default_model` is for agents without one. An unknown name is refused, because a rule with a misspelt name would
    restrict nothing.

    Raises:
        BadRules: A group is not among `groups`; a name is not that of an agent, tool or model; a budget raises no
            limit, or limits a cost that is not known.
    """
    named_agents, faults = with_subagents(agents.values()), list[str]()
    known_models = {name for agent in (None, *named_agents.values()) for name in model_names(agent, default_model)}
    named = {f"{table}.{key}": allow for table in TABLES for key, allow in getattr(rules, table).items()}
    named |= {f"budgets.{key}": (key,) for key in (*rules.budgets, *rules.together)}
    named |= {f"allow of the agent {agent.name}": agent.allow for agent in named_agents.values()}
    named |= {f"allow of the tool {tool.name}": tool.allow for agent in named_agents.values() for tool in agent.tools}
    for where, allow in named.items():
        unknown = [group for group in groups_of(allow) if group not in rules.groups]
        faults += [
            f"{where}: there is no group {group!r} in groups{did_you_mean(group, rules.groups)}" for group in unknown
        ]
    for agent_name in (name for name in rules.agents if name not in named_agents):
        faults.append(f"agents.{agent_name}: there is no agent of that name{did_you_mean(agent_name, named_agents)}")
    for model in (name for name in rules.models if name not in known_models):
        faults.append(f"models.{model}: no agent uses that model{did_you_mean(model, known_models)}")
    for pattern in rules.tools:
        if not any(_may_have(agent, pattern) for agent in named_agents.values()):
            hint = did_you_mean(pattern, (tool.name for agent in named_agents.values() for tool in agent.tools))
            faults.append(f"tools.{pattern}: no agent has such a tool{hint}")
    for key, allowance in rules.budgets.items():
        for name, value in allowance.given.items():
            if (limit := getattr(limits, f"user_{name}")) is None or value <= limit:
                at = "not set, so nobody is bound" if limit is None else f"{limit:g}"
                faults.append(
                    f"budgets.{key}: {name} = {value:g} raises nothing, because spending.user_{name} is {at}; "
                    "set that to what users of no group may spend"
                )
    unpriced = sorted(name for name in known_models if costs_unknown(name, prices))
    for key, allowance in rules.together.items():
        if unpriced and (allowance.cost_per_day, allowance.cost_per_month) != (None, None):
            faults.append(f"budgets.{key}.{TOGETHER}: it bounds costs, but {', '.join(unpriced)} has no price")
    if faults:
        raise BadRules("; ".join(faults))


def _may_have(agent: Agent, pattern: str) -> bool:
    """Return whether the agent may have a tool of that name, or one that fits that pattern."""
    if not pattern.endswith(ANY):
        return agent.may_have(pattern)
    start = pattern[: -len(ANY)]
    prefixes = [f"{server.name}_" for server in agent.servers]
    of_server = any(start.startswith(prefix) or prefix.startswith(start) for prefix in prefixes)
    return of_server or agent.may_have(start) or any(tool.name.startswith(start) for tool in agent.tools)
