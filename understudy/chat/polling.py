"""The frame of actors that look at a queue in the database again and again, and do what is due."""

from actors import Actor, ActorRef, Context


class Poll:
    """Tells a poller to poll now."""


def poll_now(poller: ActorRef | None) -> None:
    """Have a poller, if there is one now, poll at once."""
    if poller is not None:
        poller.try_tell(Poll())


class Poller(Actor):
    """Polls at its start, as the server may have been down, and again after as long as each poll says."""

    async def on_start(self, context: Context) -> None:
        """Poll at once."""
        context.ref.tell(Poll())

    async def receive(self, message: object, context: Context) -> None:
        """Poll, and set the timer for the next poll."""
        if not isinstance(message, Poll):
            context.unhandled(message)
            return
        context.set_timer("poll", await self.poll(), Poll())

    async def poll(self) -> float:
        """Do what is due. Return the seconds until the next poll."""
        raise NotImplementedError
