"""Permissions that users have given for good. A server without the extension `permissions` asks about each call."""

from collections.abc import Awaitable, Callable
from typing import Final

from attrs import frozen

from understudy.tools.tool import Tool

NOT_REMEMBERED: Final = "This server asks about each call: it allows no tool always."


@frozen
class Consents:
    """The part of a server that remembers which tools its users have allowed always, in a thread each.

    `covers(owner, thread_id, tool)` is whether that is so for the tool as it is defined; no if it cannot be read now.
    `add(owner, thread_id, tool)` allows it. `withdraw(owner, thread_id, tool_name, door)` takes that back, and raises
    CommandRejected (`not_found`) if there is nothing to take back. Both raise StorageUnavailable.
    """

    covers: Callable[[str, str, Tool], Awaitable[bool]]
    add: Callable[[str, str, Tool], Awaitable[None]]
    withdraw: Callable[[str, str, str, str], Awaitable[None]]
