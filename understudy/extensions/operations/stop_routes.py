"""`/api/stops`: the stop switch, for operators of the server: agents, tools and models that no node may use."""

import time
from typing import Final, Literal

from attrs import asdict, frozen

from transport.wire.errors import CommandRejected
from understudy.agents.permissions import model_names
from understudy.chat.stops import KINDS, Kind, StopInForce
from understudy.extensions.operations.stops import StopSwitch
from understudy.storage.acts import Act
from understudy.web.acts import say
from understudy.web.context import identity, read_body, rights, web_context
from understudy.web.operators import Reason, filtered_reason
from understudy.web.routes import OF_ONE, STORED, Routes

ENDED: Final = Act("stop.ended", "kind", "name")
MADE: Final = Act("stop.made", "kind", "name")

blueprint = Routes("stops", __name__, url_prefix="/api/stops")

MAX_NAME: Final = 200
"""Characters of a name. A longer one is refused."""


@frozen
class ShownStop(StopInForce):
    """A stop. `known`: this node has an agent, a tool or a model of that name."""

    known: bool


@blueprint.get("", errors=("internal",))
async def listing() -> dict[Literal["stops"], list[ShownStop]]:
    """List what is stopped, as this node knows it."""
    rights().check_server()
    names = _known()
    stopped = web_context().services.stops.all()
    return {"stops": [ShownStop(**asdict(row), known=(row.kind, row.name) in names) for row in stopped]}


@blueprint.put("/<kind>/<path:name>", body=Reason, errors=(*STORED, "content_blocked"))
async def stop(kind: str, name: str) -> ShownStop:
    """Stop an agent, a tool or a model on all nodes. `known` is false for a name unknown to this node."""
    rights().check_server()
    chosen, context = _kind(kind, name), web_context()
    who = identity().user
    reason = await filtered_reason(who, await read_body())
    await say(MADE, as_operator=True, kind=chosen, name=name)
    new_stop = StopInForce(chosen, name, who, reason, time.time())
    await context.parts[StopSwitch].change(chosen, name, new_stop)
    context.chat.commands.announce_stops()
    return ShownStop(**asdict(new_stop), known=(chosen, name) in _known())


@blueprint.delete("/<kind>/<path:name>", errors=OF_ONE)
async def allow(kind: str, name: str) -> None:
    """Allow an agent, a tool or a model again."""
    rights().check_server()
    chosen, context = _kind(kind, name), web_context()
    await say(ENDED, as_operator=True, kind=chosen, name=name)
    removed = await context.parts[StopSwitch].change(chosen, name, None)
    context.chat.commands.announce_stops()
    if not removed:
        raise CommandRejected("not_found", f"No {chosen} of that name is stopped.")


def _kind(kind: str, name: str) -> Kind:
    """Return the kind in a request. Raises CommandRejected (`invalid_command`) if the kind or the name is invalid."""
    for choice in KINDS:
        if choice == kind and len(name) <= MAX_NAME:
            return choice
    kinds = ", ".join(KINDS)
    raise CommandRejected("invalid_command", f"A stop has a kind, {kinds}, and a name of up to {MAX_NAME} characters.")


def _known() -> set[tuple[str, str]]:
    """Return the kind and name of each agent, tool and model of this node."""
    context = web_context()
    agents, default = context.agents, context.models.default
    named = {("model", name) for candidate in (None, *agents.values()) for name in model_names(candidate, default)}
    for name, agent in agents.items():
        named |= {("agent", name), *(("tool", tool.name) for tool in agent.tools)}
    return named
