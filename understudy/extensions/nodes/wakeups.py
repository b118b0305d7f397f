"""How nodes wake each other: short messages that may be lost. What must not be lost is in the database."""

from collections.abc import Callable, Sequence
from typing import Final, NoReturn, Protocol


class Wakeups(Protocol):
    """Carries messages to the channels of nodes: threads with the numbers of their last events, and pieces of text.

    A message of a channel arrives after those that were published before it, or not at all. A carrier keeps no message
    for a listener that does not read: it is cut off, and listens anew.
    """

    @property
    def largest(self) -> int:
        """Bytes of the longest message, in UTF-8."""

    async def publish(self, messages: Sequence[tuple[str, str]]) -> None:
        """Send messages, each to the channel that it names. Raises WakeupsUnavailable: some may have been sent."""

    async def listen(
        self, channels: Sequence[str], take: Callable[[str, str], None], begun: Callable[[], None]
    ) -> NoReturn:
        """Pass each message of these channels to `take`, until cancelled; `begun` is called as soon as it listens.

        Raises WakeupsUnavailable when it does not any more. That it hears anything only a message can say.
        """

    async def cut_off(self) -> None:
        """End the sessions of listeners that let messages pile up, if the carrier does not by itself.

        Raises WakeupsUnavailable.
        """

    def close(self) -> None:
        """Let go of what sends; the next message takes it again."""


HELLO: Final = ""
"""The message of a node to itself, by which it knows that it hears."""
LISTENER: Final = "understudy-listener-"
"""With the name of a node: that of its session which listens, by which others see that its process is there."""
NEWS: Final = "understudy_news"
"""The channel that all nodes listen to."""


def channel_of(node: str) -> str:
    """Return the channel of a node."""
    return f"understudy_{node}"
