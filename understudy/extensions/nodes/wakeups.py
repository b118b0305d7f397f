"""The interface of wakeups: short messages between nodes that may be lost, as all durable state is in the database."""

from collections.abc import Callable, Sequence
from typing import Final, NoReturn, Protocol


class Wakeups(Protocol):
    """Carries messages to the channels of nodes: threads with the numbers of their last events, and pieces of text.

    Messages of a channel arrive in the order they were published, or not at all. A listener that does not read is cut
    off and must listen anew: no message is kept for it.
    """

    @property
    def largest(self) -> int:
        """Bytes of the longest message, in UTF-8."""

    async def publish(self, messages: Sequence[tuple[str, str]]) -> None:
        """Send messages, each to the channel that it names. Raises WakeupsUnavailable: some may have been sent."""

    async def listen(
        self, channels: Sequence[str], take: Callable[[str, str], None], begun: Callable[[], None]
    ) -> NoReturn:
        """Call `take(channel, text)` with each message of these channels until cancelled; `begun()` once subscribed.

        Raises WakeupsUnavailable when the subscription is lost. Only an arriving message proves that it works.
        """

    async def cut_off(self) -> None:
        """End the sessions of listeners that let messages pile up. Raises WakeupsUnavailable.

        Has no effect if the carrier ends them by itself, as Redis does.
        """

    def close(self) -> None:
        """Close the connection that sends; the next message opens it again."""


HELLO: Final = ""
"""The message of a node to itself, by which it knows that its subscription works."""
LISTENER: Final = "understudy-listener-"
"""Prefix, before the node's id, of the name of its listening session, a sign of life for other nodes."""
NEWS: Final = "understudy_news"
"""The channel that all nodes listen to."""


def channel_of(node: str) -> str:
    """Return the channel of a node."""
    return f"understudy_{node}"
