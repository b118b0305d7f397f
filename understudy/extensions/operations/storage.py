"""Reads and writes of stops: the agents, tools and models that operators have stopped on all servers on a database."""

from attrs import asdict
from sqlalchemy import Connection, delete, select

from understudy.chat.stops import Kind, StopInForce
from understudy.extensions.operations import tables
from understudy.storage.prepared import Prepared
from understudy.storage.write import put, write

_s = tables.stops.c
_stops = Prepared(select(_s.kind, _s.name, _s.who, _s.reason, _s.at).order_by(_s.kind, _s.name))


@write
def add_stop(connection: Connection, stop: StopInForce) -> bool:
    """Stop an agent, a tool or a model; replaces an earlier stop of the same name."""
    row = put(connection, tables.stops).values(asdict(stop))
    new = {column: row.excluded[column] for column in ("who", "reason", "at")}
    connection.execute(row.on_conflict_do_update(index_elements=["kind", "name"], set_=new))
    return True


@write
def drop_stop(connection: Connection, kind: Kind, name: str) -> bool:
    """Allow an agent, a tool or a model again. Return whether it was stopped."""
    this = (_s.kind == kind, _s.name == name)
    return connection.execute(delete(tables.stops).where(*this)).rowcount > 0


def stored_stops(connection: Connection) -> list[StopInForce]:
    """Return all stops, by kind and name."""
    return [StopInForce(*row) for row in _stops.each(connection)]
