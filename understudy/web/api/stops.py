"""`/api/stops`: the stop switch, for operators of the server: agents, tools and models that no node may use."""

import time
from typing import Any, Final

from attrs import asdict
from quart import Blueprint

from transport.wire.errors import CommandRejected
from understudy.agents.permissions import model_names
from understudy.storage.stops import KINDS, AddStop, DropStop, Kind
from understudy.web.api.takeovers import filtered_reason
from understudy.web.audit import audit
from understudy.web.context import identity, read_body, rights, web_context

blueprint = Blueprint("stops", __name__, url_prefix="/api/stops")

MAX_NAME: Final = 200
"""Characters of a name. A longer one is refused."""


@blueprint.get("")
async def listing() -> dict[str, Any]:
    """List what is stopped, as this node knows it."""
    rights().check_server()
    known = _known()
    return {"stops": [asdict(each) | {"known": (each.kind, each.name) in known} for each in web_context().stops.all()]}


@blueprint.put("/<kind>/<path:name>")
async def stop(kind: str, name: str) -> dict[str, Any]:
    """Stop an agent, a tool or a model on all nodes. `known` is false for a name that this node has none of."""
    rights().check_server()
    chosen, context = _kind(kind, name), web_context()
    who = identity().user
    reason = await filtered_reason(who, await read_body())
    await audit("stop.made", as_operator=True, kind=chosen, name=name)
    await context.stops.change(context.store.commit, AddStop(chosen, name, who, reason), at := time.time())
    context.announce_stops()
    made = {"kind": chosen, "name": name, "who": who, "reason": reason, "at": at}
    return made | {"known": (chosen, name) in _known()}


@blueprint.delete("/<kind>/<path:name>")
async def allow(kind: str, name: str) -> tuple[str, int]:
    """Allow an agent, a tool or a model again."""
    rights().check_server()
    chosen, context = _kind(kind, name), web_context()
    await audit("stop.ended", as_operator=True, kind=chosen, name=name)
    found = await context.stops.change(context.store.commit, DropStop(chosen, name), time.time())
    context.announce_stops()
    if not found:
        raise CommandRejected("not_found", f"No {chosen} of that name is stopped.")
    return "", 204


def _kind(kind: str, name: str) -> Kind:
    """Return the kind of a request. Raises CommandRejected (`invalid_command`)."""
    for each in KINDS:
        if each == kind and len(name) <= MAX_NAME:
            return each
    known = ", ".join(KINDS)
    raise CommandRejected("invalid_command", f"A stop has a kind, {known}, and a name of up to {MAX_NAME} characters.")


def _known() -> set[tuple[str, str]]:
    """Return the kinds and names of what this node has."""
    context = web_context()
    agents, default = context.agents, context.models.default
    known = {("model", name) for each in (None, *agents.values()) for name in model_names(each, default)}
    for name, agent in agents.items():
        known |= {("agent", name), *(("tool", each.name) for each in agent.tools)}
    return known
