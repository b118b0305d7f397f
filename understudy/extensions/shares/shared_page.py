"""Reads a shared branch for anonymous readers: its messages up to the share's last one, page by page from the end."""

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
    turns = connection.execute(WAY, of_share).all()[skip:]
    order = [name for message_id, _, run_id in reversed(turns[:limit]) for name in (message_id, ANSWER + run_id)]
    up_to_last = (_m.owner == share.owner, _m.id.in_(order), _m.number <= share.last_message)
    messages = [Message(*row) for row in connection.execute(select(*queries.MESSAGE).where(*up_to_last))]
    rows = {message.id: message for message in messages}
    shown = tuple(rows[name] for name in order if name in rows)
    return SharedPage(share, title, shown, len(turns) > limit)
