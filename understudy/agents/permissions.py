"""Who may use which agents, tools and models, and spend how much: the one place that decides.

1. A use is allowed if the agent or tool itself (`allow`) and the rules, which an extension may set, both allow it.
2. A rule grants: one entry that fits is enough, and of several budgets that fit the largest bound holds.
3. Rules are replaced as a whole, and every decision reads those in force, so a change counts from the next decision on.
4. Roles and groups are those of the token of the message; work without a token, such as a schedule's, has none.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from attrs import define, field, fields, frozen, validators

from understudy.agents.agent import Agent
from understudy.agents.budget import check_bound
from understudy.auth.allow import Allowed, Principal, fits, is_allowed
from understudy.tools.tool import Tool

ANY: Final = "*"
"""The end of a pattern of tools' names, as in `crm_*`."""
FORBIDDEN: Final = "forbidden"
"""The error code of what is not allowed."""


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


BOUNDS: Final = tuple(bound.name for bound in fields(Allowance))


@frozen
class Rules:
    """What an operator allows. `agents`, `tools` and `models` have lists of entries by name, `budgets` what
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
        fitting = [tool for tool in self.tools if tool.endswith(ANY) and name.startswith(tool[: -len(ANY)])]
        return self.tools[max(fitting, key=len)] if fitting else None


def model_names(agent: Agent | None, default_model: str) -> tuple[str, ...]:
    """Return the names of the models with which an agent works, those of a chain in their order; for None, those of
    agents without a model."""
    wanted = default_model if agent is None or agent.model is None else agent.model
    return tuple([part.strip() for part in wanted.split(",")]) if isinstance(wanted, str) else (wanted.name,)


@define(eq=False)
class Permissions:
    """Decides by the rules in force, and by what agents and tools allow themselves."""

    rules: Rules = field(factory=Rules, validator=validators.instance_of(Rules))

    def may_use(self, agent: Agent, user: Principal) -> bool:
        """Return whether a user may see and use an agent, directly or by a tool that asks it."""
        return is_allowed(agent.allow, user) and is_allowed(self.rules.agents.get(agent.name), user)

    def is_public(self, agent: Agent) -> bool:
        """Return whether everybody may see and use an agent."""
        return agent.allow is None and agent.name not in self.rules.agents

    def may_name(self, tool: str, user: Principal) -> bool:
        """Return whether the rules let a user have a tool of this name called."""
        return not self.rules.tools or is_allowed(self.rules.of_tool(tool), user)

    def may_call(self, tool: Tool, user: Principal) -> bool:
        """Return whether a user may have a tool called."""
        allowed = (tool.allow is None or is_allowed(tool.allow, user)) and self.may_name(tool.name, user)
        return allowed and (tool.agent is None or self.may_use(tool.agent, user))

    def usable(self, agents: Mapping[str, Agent], user: Principal) -> dict[str, Agent]:
        """Return the agents that a user may see and use, in order."""
        # Each message asks for all agents, of which most are for everybody: that is decided without a call.
        return {
            name: agent
            for name, agent in agents.items()
            if (agent.allow is None and name not in self.rules.agents) or self.may_use(agent, user)
        }

    def colleagues(self, agent: Agent, agents: Mapping[str, Agent], user: Principal) -> list[Agent]:
        """Return the colleagues of an agent, which is one of `agents`, that a user may see and use, in order."""
        return [*self.usable({name: agents[name] for name in agent.colleagues if name in agents}, user).values()]

    def for_user(self, agent: Agent, user: Principal) -> Agent:
        """Return the agent without the tools that this user may not have called."""
        if not self.rules.tools and not [tool for tool in agent.tools if (tool.allow, tool.agent) != (None, None)]:
            return agent
        tools = [tool for tool in agent.tools if self.may_call(tool, user)]
        return agent if len(tools) == len(agent.tools) else agent.with_tools(tools)

    def check_models(self, names: Sequence[str], user: Principal) -> None:
        """Refuse a user who may not use one of these models. Raises NotPermitted."""
        for name in names:
            if name in self.rules.models and not is_allowed(self.rules.models[name], user):
                raise NotPermitted(f"You may not use the model {name}: this server allows it to other users only.")

    def raised(self, user: Principal) -> dict[str, float]:
        """Return what this user may spend beyond the server's limits of each user, by the name of the bound."""
        budgets: dict[str, float] = {}
        for entry, allowance in self.rules.budgets.items():
            for name, value in allowance.given.items() if fits(entry, user) else ():
                budgets[name] = max(value, budgets.get(name, value))
        return budgets

    def together(self) -> dict[str, dict[str, float]]:
        """Return what all users of an entry may spend together, by entry and by the name of the bound."""
        return {entry: allowance.given for entry, allowance in self.rules.together.items()}

    def counted(self, user: Principal) -> tuple[str, ...]:
        """Return the entries for which this user's spending counts: the groups of the rules, and the roles
        that have a budget together."""
        entries = (*(f"group:{name}" for name in self.rules.groups), *self.rules.together)
        return tuple(entry for entry in dict.fromkeys(entries) if fits(entry, user))


def refusal(tool: Tool) -> str:
    """Return the sentence, for the model and its user, that a tool may not be called."""
    if tool.agent is not None:
        return f"Your user may not use {tool.agent.display_title}, which {tool.name} asks."
    return f"Your user may not use the tool {tool.name}: this server allows it to other users only."
