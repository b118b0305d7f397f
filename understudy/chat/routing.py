"""Chooses the agent and the thread of a message. Pure: a command and the session's name in, a `Route` out."""

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from transport.wire.errors import CommandRejected
from transport.wire.fields import MAX_ID
from understudy.agents.agent import Agent
from understudy.wire.commands import GUIDE, LIAISON, Say, addressee
from understudy.wire.events import ANSWER

DEFAULT_NAMES: Final = (GUIDE, "default_guide")
"""Names by which published clients address the agent that answers by default, unless an agent has that name."""


@frozen
class Route:
    """The agent and thread of a message. `agent` is the registered agent's name; the others are names of the wire.

    `agent_type` is the one that the client used, if that is one of `DEFAULT_NAMES`: it files the answer under it.
    """

    agent: str
    agent_type: str
    pillar: str | None
    thread_id: str
    conversation_id: str


def find_agent(
    agent_type: str | None, pillar: str | None, agents: Mapping[str, str | None], default: str | None = None
) -> str:
    """Return the name of the addressed agent. `agents` maps the names that may be used to pillars.

    `default` answers if no agent is named, and by `DEFAULT_NAMES`; None: the first of `agents`. If it is not one of
    them, the first answers a message that names no agent.

    Raises:
        CommandRejected: `pillar_required`, `unknown_pillar` or `unknown_agent_type`. Two published clients match
            the texts of the first and the last letter by letter.
    """
    first = next(iter(agents), GUIDE)
    if default is None:
        default = first
    if agent_type is None and not pillar and agents:
        return default if default in agents else first
    agent_type = addressee(agent_type, pillar)
    if agent_type == LIAISON:
        if not pillar:
            raise CommandRejected("pillar_required")
        chosen = next((name for name, its_pillar in agents.items() if its_pillar == pillar), None)
        if chosen is None:
            names = ", ".join(sorted(agent for agent in agents.values() if agent)) or "none"
            raise CommandRejected("unknown_pillar", f"Unknown pillar: {pillar}. There are: {names}.")
        return chosen
    if agent_type in agents and agents[agent_type] is None:
        return agent_type
    if agent_type in DEFAULT_NAMES and default in agents:
        return default
    raise CommandRejected("unknown_agent_type", f"Unknown agent_type: {agent_type}")


def find_stored_agent(agent_type: str, pillar: str | None, agents: Mapping[str, Agent]) -> str | None:
    """Return the name of the agent that a stored run was for, None if it does not exist any more."""
    try:
        return find_agent(agent_type, pillar, {name: agent.pillar for name, agent in agents.items()})
    except CommandRejected:
        return None


def route(say: Say, session: str, agents: Mapping[str, str | None], default: str | None = None) -> Route:
    """Return the route of `say`; `agents` and `default` as for `find_agent`.

    The thread defaults to the conversation id, and that to `<agent>_<session>`: each agent has a thread of its own in a
    session, as clients without threads expect.

    Raises:
        CommandRejected: No such agent or pillar, or an id that is too long or not printable.
    """
    agent = find_agent(say.agent_type, say.pillar, agents, default)
    ids = {"thread_id": say.thread_id, "conversation_id": say.conversation_id, "message_id": say.message_id}
    for name, value in ids.items():
        check_id(name, value)
    conversation = say.conversation_id or f"{agent}_{session}"
    agent_type, pillar = (agent, None) if agents[agent] is None else (LIAISON, agents[agent])
    if say.agent_type in DEFAULT_NAMES and say.agent_type != agent:
        agent_type, pillar = say.agent_type, None
    return Route(agent, agent_type, pillar, say.thread_id or conversation, conversation)


def check_id(name: str, value: str | None) -> None:
    """Refuse an id that is empty, too long, unprintable, contains a slash, or has the prefix of answers.

    Raises:
        CommandRejected: `invalid_command`, naming the field.
    """
    if value is None:
        return
    if not 0 < len(value) <= MAX_ID or not value.isprintable() or "/" in value:
        raise CommandRejected("invalid_command", f"{name} must be 1 to {MAX_ID} printable characters without a slash.")
    if value.startswith(ANSWER):
        raise CommandRejected("invalid_command", f"{name} must not begin with {ANSWER}, as the server's own do.")
