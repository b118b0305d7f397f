"""Ways to misbehave that the tests of bad input share."""

import trio
import trio.testing

from tests.actors.troupe import Read, player


class Odd(BaseException):
    """Neither an `Exception` nor anything Python or trio means something by."""


class Mute(Exception):
    """Cannot say what it is."""

    def __str__(self):
        raise RuntimeError("no text")


def raising(error):
    def hook(*_):
        raise error

    return hook


def stubborn(release, seconds=1.0):
    """A hook or handler that swallows every cancellation until it is released; a failed test is one that ends."""

    async def act(*_):
        end = trio.current_time() + 10_000
        while not release.is_set() and trio.current_time() < end:
            try:
                await trio.sleep_forever()
            except trio.Cancelled:
                with trio.CancelScope(shield=True):
                    await trio.sleep(seconds)

    return act


async def neighbour(system):
    """An actor that has to be alive and well afterwards; ask it."""
    ref = await system.spawn(player("neighbour"))

    async def well():
        assert await ref.ask(Read()) == []
        assert system.explain(ref.path).incarnation == 1

    return well


def run(main):
    """Run in virtual time, with an end to it: what hangs here would hang behind every shield."""

    async def bounded():
        with trio.fail_after(3600):
            return await main()

    return trio.run(bounded, clock=trio.testing.MockClock(autojump_threshold=0))
