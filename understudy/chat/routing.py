"""Who answers a message, and in which thread. Pure: a command and the session's name in, a `Route` out."""

from collections.abc import Collection
from typing import Final

from attrs import frozen

from transport.codes import ERRORS
from transport.commands import Say
from transport.errors import CommandRejected

GUIDE: Final = "guide"
LIAISON: Final = "liaison"
MAX_ID: Final = 128
"""Characters in an id that a client chooses; a UUID has 36, our own `liaison:business_outcomes_<uuid>` 62."""


@frozen
class Route:
    """Where a message goes. `agent` is the registered agent's name; the other names are those of the wire."""

    agent: str
    agent_type: str
    pillar: str | None
    thread_id: str
    conversation_id: str


def wire_name(agent: str, pillar: str | None) -> tuple[str, str | None]:
    """Give (agent_type, pillar) as clients know an agent: liaisons by their pillar, others by their name."""
    return (LIAISON, pillar) if pillar else (agent, None)


def find_agent(agent_type: str | None, pillar: str | None, agents: Collection[str], pillars: Collection[str]) -> str:
    """Give the name of the agent that is meant; the guide when none is named.

    Raises:
        CommandRejected: `pillar_required`, `unknown_pillar` or `unknown_agent_type`. Two published clients match
            the texts of the first and the last letter by letter.
    """
    if agent_type is None:
        agent_type = LIAISON if pillar else GUIDE
    if agent_type == LIAISON:
        if not pillar:
            raise CommandRejected("pillar_required", ERRORS["pillar_required"].text)
        if pillar not in pillars:
            raise CommandRejected("unknown_pillar", f"Unknown pillar: {pillar}. There are: {', '.join(sorted(pillars))}.")
        return pillar
    if agent_type in agents and agent_type not in pillars:
        return agent_type
    raise CommandRejected("unknown_agent_type", f"Unknown agent_type: {agent_type}")


def route(say: Say, session: str, agents: Collection[str], pillars: Collection[str]) -> Route:
    """Decide who answers `say` and where.

    Without a thread the conversation's name is the thread's, and without that `<agent>_<session>`: each agent has a
    thread of its own in a session, as clients that know no threads expect.

    Raises:
        CommandRejected: No such agent or pillar, or an id that is too long or not printable.
    """
    agent = find_agent(say.agent_type, say.pillar, agents, pillars)
    for name, value in (("thread_id", say.thread_id), ("conversation_id", say.conversation_id), ("message_id", say.message_id)):
        check_id(name, value)
    conversation = say.conversation_id or f"{agent}_{session}"
    agent_type, pillar = wire_name(agent, agent if agent in pillars else None)
    return Route(agent, agent_type, pillar, say.thread_id or conversation, conversation)


def check_id(name: str, value: str | None) -> None:
    """Refuse an id that cannot be a name: empty, longer than `MAX_ID`, or with unprintable characters.

    Raises:
        CommandRejected: `invalid_command`, naming the field.
    """
    if value is not None and not (0 < len(value) <= MAX_ID and value.isprintable()):
        raise CommandRejected("invalid_command", f"{name} must be 1 to {MAX_ID} printable characters.")
