"""Who may use which agents, tools and models, and spend how much: the one place that decides.

1. A use is allowed if the agent or tool itself (`allow`) and the rules of the permissions file both allow it.
2. A rule grants: one entry that fits is enough, and of several budgets that fit the largest bound holds.
3. Rules are replaced as a whole, and every decision reads those in force, so a change counts from the next decision on.
4. Roles and groups are those of the token of the message; work without a token, such as a schedule's, has none.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import define, field, fields, frozen, validators

from transport.connection.limits import Limits
from understudy.agents.agent import Agent, with_subagents
from understudy.agents.budget import check_bound
from understudy.auth.allow import Allowed, Principal, fits, groups_of, is_allowed, read_allowed
from understudy.models.prices import PriceTable
from understudy.models.registry import costs_unknown
from understudy.tools.suggestion import did_you_mean
from understudy.tools.tool import Tool

ANY: Final = "*"
"""The end of a pattern of tools' names, as in `crm_*`."""
TABLES: Final = ("agents", "tools", "models")
FORBIDDEN: Final = "forbidden"
"""The error code of what is not allowed."""


class BadRules(ValueError):
    """Rules that are malformed, or that do not fit the server; the text lists all faults."""


class NotPermitted(Exception):
    """The user may not use a model; the text is a sentence for the user."""


@frozen(kw_only=True)
class Allowance:
    """What each of the users that an entry names may spend on models, in place of the server's `limits.user_…`, or what
    all of them may spend together.

    Costs are in the currency of the server's prices; a day and a month are those of UTC. None: the server's limit, or
    for all together none.
    """

    tokens_per_day: int | None = field(default=None, validator=check_bound)
    cost_per_day: float | None = field(default=None, validator=check_bound)
    tokens_per_month: int | None = field(default=None, validator=check_bound)
    cost_per_month: float | None = field(default=None, validator=check_bound)

    @property
    def given(self) -> dict[str, float]:
        """The bounds that are given, by name."""
        return {name: value for name in BOUNDS if (value := getattr(self, name)) is not None}


BOUNDS: Final = tuple(each.name for each in fields(Allowance))
TOGETHER: Final = "together"
"""The table, within that of a budget, of what all users of the entry may spend together."""


@frozen
class Rules:
    """The content of a permissions file. `agents`, `tools` and `models` have lists of entries by name, `budgets` what
    each user may spend by entry, `together` what all of them may. `groups` are all groups that entries may name, also
    those of agents and tools.
    """

    groups: tuple[str, ...] = ()
    agents: Mapping[str, Allowed] = field(factory=dict)
    tools: Mapping[str, Allowed] = field(factory=dict)
    models: Mapping[str, Allowed] = field(factory=dict)
    budgets: Mapping[str, Allowance] = field(factory=dict)
    together: Mapping[str, Allowance] = field(factory=dict)

    def of_tool(self, name: str) -> Allowed:
        """Return who may have a tool called: by its name, or else by the longest pattern that fits."""
        if name in self.tools:
            return self.tools[name]
        fitting = [each for each in self.tools if each.endswith(ANY) and name.startswith(each[: -len(ANY)])]
        return self.tools[max(fitting, key=len)] if fitting else None


def parse_rules(read: Mapping[str, Any]) -> Rules:
    """Return the rules of a parsed TOML file.

    Raises:
        BadRules: A name is unknown, or a value of the wrong form; the text lists all faults.
    """
    faults = [f"{name} is not known" for name in read if name not in ("groups", "budgets", *TABLES)]
    groups = read.get("groups", [])
    if not isinstance(groups, list) or not all(isinstance(each, str) and each.strip() for each in groups):
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
            own = bounds
            if isinstance(bounds, dict) and TOGETHER in bounds:
                if key.startswith("user:"):
                    raise ValueError(f"one user has nothing {TOGETHER}; give the bounds without it")
                together[key] = _read_allowance(bounds[TOGETHER])
                own = {name: value for name, value in bounds.items() if name != TOGETHER}
            if own or key not in together:
                budgets[key] = _read_allowance(own)
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
    rules: Rules, agents: Mapping[str, Agent], default_model: str, limits: Limits, prices: PriceTable
) -> None:
    """Refuse rules that do not fit a server with these agents, limits and prices.

    `default_model` is for agents without one. A name that nothing has is refused, as a rule with a slip of the pen
    would leave open what it is to close.

    Raises:
        BadRules: A group is not among `groups`; no agent, tool or model has a name; a budget raises nothing, or
            bounds a cost that is not known.
    """
    known, faults = with_subagents(agents.values()), list[str]()
    known_models = {name for each in (None, *known.values()) for name in model_names(each, default_model)}
    named = {f"{table}.{key}": allow for table in TABLES for key, allow in getattr(rules, table).items()}
    named |= {f"budgets.{key}": (key,) for key in (*rules.budgets, *rules.together)}
    named |= {f"allow of the agent {each.name}": each.allow for each in known.values()}
    named |= {f"allow of the tool {tool.name}": tool.allow for each in known.values() for tool in each.tools}
    for where, allow in named.items():
        unknown = [each for each in groups_of(allow) if each not in rules.groups]
        faults += [
            f"{where}: there is no group {each!r} in groups{did_you_mean(each, rules.groups)}" for each in unknown
        ]
    for each in (name for name in rules.agents if name not in known):
        faults.append(f"agents.{each}: there is no agent of that name{did_you_mean(each, known)}")
    for each in (name for name in rules.models if name not in known_models):
        faults.append(f"models.{each}: no agent uses that model{did_you_mean(each, known_models)}")
    for pattern in rules.tools:
        if not any(_may_have(agent, pattern) for agent in known.values()):
            meant = did_you_mean(pattern, (tool.name for each in known.values() for tool in each.tools))
            faults.append(f"tools.{pattern}: no agent has such a tool{meant}")
    for key, allowance in rules.budgets.items():
        for name, value in allowance.given.items():
            if (limit := getattr(limits, f"user_{name}")) is None or value <= limit:
                at = "not set, so nobody is bound" if limit is None else f"{limit:g}"
                faults.append(
                    f"budgets.{key}: {name} = {value:g} raises nothing, because limits.user_{name} is {at}; "
                    "set that to what users of no group may spend"
                )
    unpriced = sorted(name for name in known_models if costs_unknown(name, prices))
    for key, allowance in rules.together.items():
        if unpriced and (allowance.cost_per_day, allowance.cost_per_month) != (None, None):
            faults.append(f"budgets.{key}.{TOGETHER}: it bounds costs, but {', '.join(unpriced)} has no price")
    if faults:
        raise BadRules("; ".join(faults))


def model_names(agent: Agent | None, default_model: str) -> tuple[str, ...]:
    """Return the names of the models with which an agent works, those of a chain in their order; for None, those of
    agents without a model."""
    wanted = default_model if agent is None or agent.model is None else agent.model
    return tuple(each.strip() for each in wanted.split(",")) if isinstance(wanted, str) else (wanted.name,)


def _may_have(agent: Agent, pattern: str) -> bool:
    """Return whether a tool of that name, or of that pattern, may be the agent's."""
    if not pattern.endswith(ANY):
        return agent.may_have(pattern)
    start = pattern[: -len(ANY)]
    prefixes = [f"{each.name}_" for each in agent.servers]
    of_server = any(start.startswith(each) or each.startswith(start) for each in prefixes)
    return of_server or agent.may_have(start) or any(each.name.startswith(start) for each in agent.tools)


@define(eq=False)
class Permissions:
    """Decides by the rules in force, and by what agents and tools allow themselves."""

    rules: Rules = field(factory=Rules, validator=validators.instance_of(Rules))

    def may_use(self, agent: Agent, who: Principal) -> bool:
        """Return whether a user may see and use an agent, directly or by a tool that asks it."""
        return is_allowed(agent.allow, who) and is_allowed(self.rules.agents.get(agent.name), who)

    def is_public(self, agent: Agent) -> bool:
        """Return whether everybody may see and use an agent."""
        return agent.allow is None and agent.name not in self.rules.agents

    def may_name(self, tool: str, who: Principal) -> bool:
        """Return whether the rules let a user have a tool of this name called."""
        return not self.rules.tools or is_allowed(self.rules.of_tool(tool), who)

    def may_call(self, tool: Tool, who: Principal) -> bool:
        """Return whether a user may have a tool called."""
        own = is_allowed(tool.allow, who) and self.may_name(tool.name, who)
        return own and (tool.agent is None or self.may_use(tool.agent, who))

    def usable(self, agents: Mapping[str, Agent], who: Principal) -> dict[str, Agent]:
        """Return the agents that a user may see and use, in order."""
        # Each message asks for all agents, of which most are for everybody: that is decided without a call.
        public = {name for name, agent in agents.items() if agent.allow is None} - self.rules.agents.keys()
        return {name: agent for name, agent in agents.items() if name in public or self.may_use(agent, who)}

    def colleagues(self, agent: Agent, agents: Mapping[str, Agent], who: Principal) -> list[Agent]:
        """Return the colleagues of an agent, which is one of `agents`, that a user may see and use, in order."""
        usable = self.usable(agents, who)
        return [usable[name] for name in agent.colleagues if name in usable]

    def for_user(self, agent: Agent, who: Principal) -> Agent:
        """Return the agent without the tools that this user may not have called."""
        if not self.rules.tools and all(each.allow is None and each.agent is None for each in agent.tools):
            return agent
        tools = [each for each in agent.tools if self.may_call(each, who)]
        return agent if len(tools) == len(agent.tools) else agent.with_tools(tools)

    def check_models(self, names: Sequence[str], who: Principal) -> None:
        """Refuse a user who may not use one of these models.

        Raises:
            NotPermitted: See above.
        """
        for name in names:
            if not is_allowed(self.rules.models.get(name), who):
                raise NotPermitted(f"You may not use the model {name}: this server allows it to other users only.")

    def raised(self, who: Principal) -> dict[str, float]:
        """Return what this user may spend beyond the server's limits of each user, by the name of the bound."""
        found: dict[str, float] = {}
        for entry, allowance in self.rules.budgets.items():
            for name, value in allowance.given.items() if fits(entry, who) else ():
                found[name] = max(value, found.get(name, value))
        return found

    def together(self) -> dict[str, dict[str, float]]:
        """Return what all users of an entry may spend together, by entry and by the name of the bound."""
        return {entry: allowance.given for entry, allowance in self.rules.together.items()}

    def counted(self, who: Principal) -> tuple[str, ...]:
        """Return the entries for which this user's spending counts: the groups of the permissions file, and the roles
        that have a budget together."""
        entries = (*(f"group:{name}" for name in self.rules.groups), *self.rules.together)
        return tuple(entry for entry in dict.fromkeys(entries) if fits(entry, who))


def refusal(tool: Tool) -> str:
    """Return the sentence, for the model and its user, that a tool may not be called."""
    if tool.agent is not None:
        return f"Your user may not use {tool.agent.display_title}, which {tool.name} asks."
    return f"Your user may not use the tool {tool.name}: this server allows it to other users only."
