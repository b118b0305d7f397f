"""What strangers read of a shared branch: its messages up to the last one of the share, page by page from its end."""

from attrs import frozen
from sqlalchemy import Connection, select

from understudy.extensions.shares.storage import Share
from understudy.extensions.shares.tables import shares
from understudy.storage import queries, schema
from understudy.storage.records import Message
from understudy.storage.schema import Now
from understudy.storage.turns import ANSWER, WAY

_s = shares.c
_m = schema.messages.c
_t = schema.threads.c


@frozen
class SharedPage:
    """A page of a shared branch, oldest message first. `older`: there are turns before it."""

    share: Share
    title: str
    messages: tuple[Message, ...]
    older: bool


def shared_page(connection: Connection, name: str, skip: int, limit: int) -> SharedPage | None:
    """Return `limit` turns of a share before the last `skip`; None if there is no such share, or it has expired."""
    query = select(*_s, _t.title).join(schema.threads, (_t.owner == _s.owner) & (_t.id == _s.thread_id))
    row = connection.execute(query.where(_s.id == name, _s.expires_at > Now())).one_or_none()
    if row is None:
        return None
    *columns, title = row
    share = Share(*columns)
    of_share = {"owner": share.owner, "thread_id": share.thread_id, "run_id": share.run_id, "depth": skip + limit}
    way = connection.execute(WAY, of_share).all()[skip:]
    order = [name for said, _, run_id in reversed(way[:limit]) for name in (said, ANSWER + run_id)]
    wanted = select(*queries.MESSAGE).where(_m.owner == share.owner, _m.id.in_(order), _m.number <= share.last_message)
    rows = {message.id: message for message in (Message(*row) for row in connection.execute(wanted))}
    shown = tuple(rows[name] for name in order if name in rows)
    return SharedPage(share, title, shown, len(way) > limit)
