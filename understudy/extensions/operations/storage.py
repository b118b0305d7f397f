"""Reads and writes of stops: the agents, tools and models that operators have stopped on all servers on a database."""

from attrs import frozen
from sqlalchemy import Connection, delete, select

from understudy.chat.stops import Kind, StopInForce
from understudy.extensions.operations import tables
from understudy.storage.prepared import Prepared
from understudy.storage.schema import Now
from understudy.storage.write import Write, put

_s = tables.stops.c
_stops = Prepared(select(_s.kind, _s.name, _s.who, _s.reason, _s.at).order_by(_s.kind, _s.name))


@frozen
class AddStop(Write):
    """Stop an agent, a tool or a model; replaces an earlier stop of the same name."""

    kind: Kind
    name: str
    who: str
    reason: str

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        row = put(connection, tables.stops)
        row = row.values(kind=self.kind, name=self.name, who=self.who, reason=self.reason, at=Now())
        new = {name: row.excluded[name] for name in ("who", "reason", "at")}
        connection.execute(row.on_conflict_do_update(index_elements=["kind", "name"], set_=new))
        return True


@frozen
class DropStop(Write):
    """Allow an agent, a tool or a model again. The answer is whether it was stopped."""

    kind: Kind
    name: str

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        this = (_s.kind == self.kind, _s.name == self.name)
        return connection.execute(delete(tables.stops).where(*this)).rowcount > 0


def stored_stops(connection: Connection) -> list[StopInForce]:
    """Return all stops, by kind and name."""
    return [StopInForce(*row) for row in _stops.each(connection)]
