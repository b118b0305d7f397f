"""Reads and writes of stops: the agents, tools and models that operators have stopped on all servers on a database."""

from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias

from attrs import frozen
from sqlalchemy import Connection, Table, delete, select

from . import schema
from .prepared import Prepared
from .schema import Now

_s = schema.stops.c
_stops = Prepared(select(_s.kind, _s.name, _s.who, _s.reason, _s.at).order_by(_s.kind, _s.name))

Kind: TypeAlias = Literal["agent", "tool", "model"]
KINDS: Final[tuple[Kind, ...]] = ("agent", "tool", "model")


@frozen
class StopInForce:
    """A stop: `who` is the user who made it, at `at` by the database's clock, in Unix seconds."""

    kind: str
    name: str
    who: str
    reason: str
    at: float


@frozen
class AddStop:
    """Stop an agent, a tool or a model; replaces an earlier stop of the same name."""

    kind: Kind
    name: str
    who: str
    reason: str


@frozen
class DropStop:
    """Allow an agent, a tool or a model again. The answer is whether it was stopped."""

    kind: Kind
    name: str


StopWrite: TypeAlias = AddStop | DropStop


def write(connection: Connection, work: StopWrite, put: Callable[[Table], Any]) -> bool:
    """Execute a write; return the answer that its class documents, True for an added stop."""
    if isinstance(work, DropStop):
        return bool(connection.execute(delete(schema.stops).where(_s.kind == work.kind, _s.name == work.name)).rowcount)
    row = put(schema.stops).values(kind=work.kind, name=work.name, who=work.who, reason=work.reason, at=Now())
    new = {name: row.excluded[name] for name in ("who", "reason", "at")}
    connection.execute(row.on_conflict_do_update(index_elements=["kind", "name"], set_=new))
    return True


def stops(connection: Connection) -> list[StopInForce]:
    """Return all stops, by kind and name."""
    return [StopInForce(*row) for row in _stops.each(connection)]
