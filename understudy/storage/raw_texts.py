"""The encrypted original texts of messages, for when their key is replaced: read in pages, each row replaced."""

from collections.abc import Sequence
from typing import TypeAlias

from sqlalchemy import Connection, select, tuple_, update

from . import schema

_w = schema.raw_texts.c
Sealed: TypeAlias = tuple[str, str, bytes]
"""Owner and id of a message, and its encrypted text."""


def sealed_after(connection: Connection, after: tuple[str, str], limit: int) -> Sequence[Sealed]:
    """Return the encrypted texts whose owner and message id come after these, in their order."""
    key = (_w.owner, _w.message_id)
    wanted = select(*key, _w.sealed).where(tuple_(*key) > tuple_(*after)).order_by(*key).limit(limit)
    return [(owner, message_id, sealed) for owner, message_id, sealed in connection.execute(wanted)]


def replace_sealed(connection: Connection, was: Sealed, sealed: bytes) -> bool:
    """Replace an encrypted text. Return False if it was deleted, or replaced by somebody else, since it was read."""
    owner, message_id, before = was
    this = (_w.owner == owner, _w.message_id == message_id, _w.sealed == before)
    return connection.execute(update(schema.raw_texts).where(*this).values(sealed=sealed)).rowcount > 0
