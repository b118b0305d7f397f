"""A look of the retention at a store."""

import pytest
import trio

from actors import ChildSpec
from understudy.extensions.privacy import retention
from understudy.extensions.privacy.retention import Retention
from understudy.extensions.privacy.settings import KeepSettings

DAY = 24 * 3600.0
NOW = 1000 * DAY


class Counts:
    """What was removed, by kind."""

    def __init__(self) -> None:
        self.seen: dict[str, int] = {}

    def removed(self, what: str, count: int) -> None:
        self.seen[what] = self.seen.get(what, 0) + count


@pytest.fixture(autouse=True)
def restless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not pause: there are no other writes."""
    monkeypatch.setattr(retention, "RESTS", 0.0)


async def looked(system, kept: KeepSettings, store, eraser, *, charge: bool = True, now: float = NOW) -> dict[str, int]:
    """Let the retention look once. Return what it removed, by kind."""
    counts, questions = Counts(), 0
    done = trio.Event()

    async def is_in_charge() -> bool:
        nonlocal questions
        questions += 1
        return charge

    def make() -> Retention:
        actor = Retention(kept, store, eraser, is_in_charge, counts, clock=lambda: now, first_s=0.0)
        receive = actor.receive

        async def receive_and_tell(message: object, context) -> None:
            await receive(message, context)
            done.set()

        actor.receive = receive_and_tell
        return actor

    ref = await system.spawn(ChildSpec("retention", make))
    await done.wait()
    assert questions >= 1
    await ref.stop()
    return counts.seen
