"""`Agent`: a name, instructions, and tools. Plain data; `chat.run` acts on it."""

import inspect
import math
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Final, Protocol

from attrs import Attribute, evolve, field, frozen
from attrs.validators import instance_of, optional

from understudy.agents.budget import Budget
from understudy.agents.framework import is_of_framework
from understudy.agents.output import OutputType
from understudy.agents.turn import AgentTurn
from understudy.auth.allow import Allowed, read_allowed
from understudy.models.model import AgentCard, Model, ModelSettings, ToolCard
from understudy.suggestion import did_you_mean
from understudy.tools.lifespan import Lifespan, to_lifespan
from understudy.tools.mcp_server import McpServer
from understudy.tools.offers import Starter
from understudy.tools.tool import Param, Tool, ToolError, tool

GUIDE: Final = "guide"
LIAISON: Final = "liaison"
BUILTIN: Final = (GUIDE, "story")
"""The names of the built-in agents of this distribution."""
MAX_DEPTH: Final = 3
"""Agents that may ask each other as tools, one below the other, beside the one that answers its user."""
REQUEST: Final = "What the agent is to do, with all that it needs to know."
"""What a model is told of the parameter of a tool that asks an agent."""

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}\Z")


def _named(_: Any, attribute: "Attribute[str]", value: str) -> None:
    if not _NAME.match(value):
        raise ValueError(
            f"{value!r} cannot be an agent's {attribute.name}: a letter, then letters, digits, '_' or '-', 64 at most"
        )
    if value == LIAISON and attribute.name == "name":
        raise ValueError("'liaison' names all agents with a pillar; give this agent another name or a pillar")


def _tools(value: Iterable[Tool | McpServer]) -> tuple[Tool, ...]:
    tools: tuple[Any, ...] = tuple(value)
    seen: set[str] = set()
    for entry in tools:
        if isinstance(entry, McpServer):
            continue
        if not isinstance(entry, Tool):
            raise TypeError(f"{entry!r} is not a tool; put @tool above its definition")
        if entry.is_method:
            raise TypeError(
                f"{entry.name} is a method; give the agent the tool of an instance, as in Shop().{entry.name}"
            )
        if entry.name in seen:
            raise ValueError(f"two tools are called {entry.name!r}; give one another name with @tool(name=…)")
        seen.add(entry.name)
        if entry.agent is not None and (depth := 1 + entry.agent.depth) > MAX_DEPTH:
            raise ValueError(
                f"{entry.name} asks an agent that asks others, {depth} deep: agents may ask each other {MAX_DEPTH} deep"
            )
    return tools


def _listed(value: Iterable[Any]) -> tuple[Any, ...]:
    if isinstance(value, str):
        raise TypeError(f"a list is needed, not the one text {value!r}")
    return tuple(value)


def _starters(value: Iterable[str | Starter]) -> tuple[Starter, ...]:
    return tuple(starter if isinstance(starter, Starter) else Starter(starter) for starter in _listed(value))


def _translations(value: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        language: {name: _starters(text) if name == "starters" else text for name, text in texts.items()}
        for language, texts in value.items()
    }


def _allowed(value: Iterable[str] | None) -> Allowed:
    return read_allowed(value, "the agent")


def _is_model(_: Any, __: object, value: object) -> None:
    if value is not None and not isinstance(value, str) and not callable(getattr(value, "respond", None)):
        raise TypeError(f"{value!r} is not a model: it is the name of one, or an object with the method `respond`")


def _is_async(_: Any, __: object, value: object) -> None:
    if value is not None and not inspect.iscoroutinefunction(value):
        raise TypeError(f"{value!r} cannot be an agent's run: an async function of one AgentTurn is needed")


def _is_remote(_: Any, __: object, value: object) -> None:
    if value is not None and not inspect.iscoroutinefunction(getattr(value, "run", None)):
        raise TypeError(f"{value!r} is no agent of another server, but a `Remote` is")


def _positive(_: Any, attribute: "Attribute[float]", value: float) -> None:
    if not value > 0:
        raise ValueError(f"{attribute.name} must be more than 0 seconds, not {value!r}")


class RemoteAgent(Protocol):
    """An agent of another server: a `Remote` of the extension `remote`."""

    async def run(self, turn: AgentTurn) -> None:
        """Have it work on a message, and show its work as this server's."""


@frozen
class Agent:
    """An agent that users can talk to.

    Raises ValueError for a bad name, a bad or empty `allow`, a translation of something else, a non-positive
    `timeout_s`, a budget of more time than `timeout_s`, two tools or servers of one name, or `run` with
    `output_type`; TypeError if a tool is not a `Tool`, `model` neither a name nor a model, `run` no async function,
    `remote` no `Remote`, or `output_type` no class with a schema. Also ValueError if the tool of a starter, or the one
    that is always to be called, is none of the agent's.
    """

    name: str = field(validator=_named)
    """A letter, then letters, digits, `_` or `-`; 64 at most. Clients name it as `agent_type`."""
    instructions: str = field(default="", repr=False)
    """What its model is told of its work."""
    tools: tuple[Tool, ...] = field(default=(), converter=_tools)
    """The tools it may use, and MCP servers whose tools it may use; names must be unique."""
    title: str = ""
    """Its name for people; the name in words when empty."""
    description: str = ""
    """What it is for: for people, and for colleagues that hand over."""
    pillar: str | None = field(default=None)
    """Makes it a liaison: `agent_type` is `liaison` with this pillar, which no other agent of the server has."""
    colleagues: tuple[str, ...] = field(default=(), converter=_listed)
    """Names of agents it may hand a run over to."""
    starters: tuple[Starter, ...] = field(default=(), converter=_starters, repr=False)
    """Requests that the page offers in a new chat: each a `Starter`, or a text for a language model."""
    translations: Mapping[str, Mapping[str, Any]] = field(factory=dict, converter=_translations, repr=False)
    """`title`, `description` and `starters` in other languages, for pages in these: `{"de": {"title": "Töpfe",
    "starters": [Starter("Zähle sie", tool="count")]}}`."""
    timeout_s: float | None = field(default=None, validator=optional(_positive))
    """How long one of its runs may work, in seconds, before it ends with an error; None: it closes at the server's
    limit (`limits.run_s`), which this may not exceed."""
    model: "str | Model | None" = field(default=None, validator=_is_model)
    """A model, or the name of one, such as `"openai:NAME"`; None: the server's."""
    remembers: bool = False
    """Whether its model is given the values that its tools remember for the user."""
    memory: str | None = field(default=None, validator=optional(_named))
    """The notebook in which its tools remember; agents that name the same one share it. None: its own."""
    budget: Budget = field(default=Budget(), validator=instance_of(Budget))
    """What one run may spend before it closes with what it has."""
    allow: Allowed = field(default=None, converter=_allowed)
    """Who may see and use it: `user:NAME`, `role:NAME`, `group:NAME`. None: everybody. For others it does not exist."""
    settings: ModelSettings = field(default=ModelSettings(), validator=instance_of(ModelSettings))
    """Of its model."""
    lifespan: Lifespan | None = field(default=None, converter=to_lifespan, repr=False)
    """Opens what its tools share."""
    run: Callable[[AgentTurn], Awaitable[object]] | None = field(default=None, validator=_is_async, repr=False)
    """An async function that works on each message instead of a model: a hand-written agent."""
    remote: RemoteAgent | None = field(default=None, validator=_is_remote)
    """An agent of another server that works instead: a `Remote`."""
    servers: tuple[McpServer, ...] = field(default=(), converter=tuple)
    """The MCP servers among its `tools`: give them there."""
    output_type: type[Any] | None = field(default=None)
    """A dataclass, attrs class, Pydantic model or msgspec struct: the form of its answers, which are validated JSON."""

    def __attrs_post_init__(self) -> None:
        entries: tuple[Any, ...] = self.tools
        servers = (*self.servers, *(entry for entry in entries if isinstance(entry, McpServer)))
        if len({server.name for server in servers}) < len(servers):
            raise ValueError(f"agent {self.name!r} has two MCP servers of one name; give one another with mcp(name=…)")
        object.__setattr__(self, "servers", servers)
        object.__setattr__(self, "tools", tuple(entry for entry in entries if not isinstance(entry, McpServer)))
        if self.remote is not None:
            if self.run not in (None, self.remote.run):
                raise ValueError(f"agent {self.name!r} has a function and a remote address; give it one of them")
            object.__setattr__(self, "run", self.remote.run)
        words, choice = ("auto", "required", "none"), self.settings.tool_choice
        needed = [(starter.tool, f"the starter {starter.text!r}") for starter in self.starters if starter.tool]
        needed += [] if choice in (None, *words) else [(choice, f"tool_choice={choice!r}")]
        for name, need in needed:
            if not self.may_have(name):
                meant = did_you_mean(name, (*words, *(entry.name for entry in self.tools)))
                raise ValueError(f"agent {self.name!r} has {need}, but no tool {name!r}{meant}")

    @translations.validator
    def _check_translations(self, _: Any, value: Mapping[str, Mapping[str, Any]]) -> None:
        for language, texts in value.items():
            if not set(texts) <= {"title", "description", "starters"}:
                raise ValueError(f"translations[{language!r}] of {self.name} has title, description and starters alone")

    @output_type.validator
    def _check_output_type(self, _: Any, value: type[Any] | None) -> None:
        if value is not None and self.run is not None:
            raise ValueError(f"agent {self.name!r} is hand-written: output_type is for the answers of a model")
        self.output  # noqa: B018 - raises TypeError

    @pillar.validator
    def _check_pillar(self, attribute: "Attribute[str]", value: str | None) -> None:
        if value is not None:
            _named(self, attribute, value)
            if self.name == GUIDE:
                raise ValueError("the guide has no pillar; give the agent another name")

    @budget.validator
    def _check_budget(self, _: "Attribute[Budget]", budget: Budget) -> None:
        if self.timeout_s is not None and budget.wall_s is not None and budget.wall_s > self.timeout_s:
            raise ValueError(
                f"agent {self.name!r} has a budget of wall_s={budget.wall_s:g}, but timeout_s={self.timeout_s:g} ends "
                "its runs before: raise timeout_s, or lower the budget"
            )

    @cached_property
    def agent_type(self) -> str:
        """The agent's type on the wire: ``guide``, ``liaison`` for one with a pillar, else its own name."""
        return LIAISON if self.pillar is not None else self.name

    @cached_property
    def display_title(self) -> str:
        """The title; if empty, the name as words."""
        return self.title or self.name.replace("_", " ").replace("-", " ").capitalize()

    @cached_property
    def notebook(self) -> str:
        """The name of the notebook in which the agent's tools remember: `memory`, or its own name."""
        return self.memory or self.name

    @property
    def extensions(self) -> list[str]:
        """The names of the extensions that it needs."""
        needed = {"mcp": self.servers, "remote": self.remote, "subagents": self.subagents}
        return [name for name, needs in needed.items() if needs] + ["frameworks"] * is_of_framework(self.run)

    @property
    def takes_client_tools(self) -> bool:
        """Whether it can call tools of the client: agents of frameworks and of other servers know only their own."""
        return self.remote is None and not is_of_framework(self.run)

    @cached_property
    def output(self) -> OutputType | None:
        """The form of its final answers, None for text."""
        return None if self.output_type is None else OutputType(self.output_type)

    @cached_property
    def subagents(self) -> "tuple[Agent, ...]":
        """The agents that its tools ask, and those below them."""
        agents = [entry.agent for entry in self.tools if entry.agent is not None]
        return tuple(below for agent in agents for below in (agent, *agent.subagents))

    @cached_property
    def depth(self) -> int:
        """How many agents ask each other below this one."""
        return max((1 + entry.agent.depth for entry in self.tools if entry.agent is not None), default=0)

    @cached_property
    def card(self) -> AgentCard:
        """The agent's description for a model."""
        translated = (starter for texts in self.translations.values() for starter in texts.get("starters", ()))
        tools = tuple(ToolCard(entry.name, entry.description, entry.parameters) for entry in self.tools)
        return AgentCard(self.name, self.display_title, self.description, tools, (*self.starters, *translated))

    def as_tool(self, name: str = "", description: str = "", *, history: bool = False) -> Tool:
        """Return a tool that asks this agent, for another agent. Its result is the agent's answer: text, or an object.

        `name` is by default `ask_` and the agent's, `description` the agent's. The agent is given the request; with
        `history` also the conversation before it, as the agent that asks has it. It is stopped after its own
        `timeout_s` or `budget.wall_s`, if it has one. A user whom it does not `allow` cannot have it asked.
        """

        async def ask(request: Annotated[str, Param(REQUEST)]) -> str:  # noqa: ARG001 - for the schema
            raise ToolError("tool_failed", f"{self.name} can only be asked in a run.")

        limits = [limit for limit in (self.timeout_s, self.budget.wall_s) if limit is not None]
        label = name or f"ask_{self.name}".replace("-", "_")
        asking = tool(name=label, timeout_s=min(limits, default=math.inf), retry_safe=True, on_server_loop=True)(ask)
        about = description or self.description or f"Asks {self.display_title}."
        return evolve(asking, description=about, agent=self, history=history)

    def tool(self, name: str) -> Tool | None:
        """Return the agent's tool of that name, or None."""
        return {entry.name: entry for entry in self.tools}.get(name)

    def with_tools(self, tools: Sequence[Tool]) -> "Agent":
        """Return the agent with these tools alone, without the starters that need another one."""
        gone = {entry.name for entry in self.tools} - {entry.name for entry in tools}
        settings = evolve(self.settings, tool_choice=None) if self.settings.tool_choice in gone else self.settings
        starters = [starter for starter in self.starters if starter.tool not in gone]
        return evolve(self, tools=tools, starters=starters, settings=settings)

    def may_have(self, name: str) -> bool:
        """Return whether a tool of that name may be the agent's: of an MCP server too, or of another framework."""
        of_server = any(name.startswith(f"{server.name}_") for server in self.servers)
        return self.tool(name) is not None or of_server or is_of_framework(self.run)

    def run_limit_s(self, run_s: float) -> float:
        """Return the seconds that a run of the agent may work on a server with the limit `run_s`.

        Raises ValueError if the agent's own limit is longer, because the server would silently shorten it.
        """
        if (own_s := self.timeout_s or run_s) > run_s:
            raise ValueError(
                f"agent {self.name!r} is given timeout_s={own_s:g}, but limits.run_s ends every run after "
                f"{run_s:g} s: raise limits.run_s, or lower the agent's timeout_s"
            )
        return own_s


def with_subagents(agents: Iterable[Agent]) -> dict[str, Agent]:
    """Return the agents and those that they ask as tools, by name; an agent itself goes before another's subagent."""
    listed = list(agents)
    return {agent.name: agent for agent in (*(sub for agent in listed for sub in agent.subagents), *listed)}
