"""Where every message went: whatever happens to an actor, each is handled once, refused, or a dead letter."""

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import Actor, ActorSystem, Backoff, ChildSpec, Lane, MailboxFull, MailboxSpec, Overflow, StopMode
from tests.actors.troupe import settled

FAULTS = st.sampled_from(["tell"] * 6 + ["send", "crash", "kill", "slow", "wait"])
STEPS = st.lists(st.tuples(FAULTS, st.sampled_from(list(Lane))), max_size=60)


class Ledger:
    """What became of each message, by its number."""

    def __init__(self):
        self.sent, self.begun, self.refused = 0, [], []

    def next(self, kind):
        self.sent += 1
        return kind, self.sent


class Booked(Actor):
    """Notes each message when it begins to handle it."""

    def __init__(self, ledger, spec):
        self.ledger, self.mailbox = ledger, spec

    async def receive(self, message, context):
        kind, number = message
        self.ledger.begun.append(number)
        if kind == "crash":
            raise ValueError("crash")
        if kind == "slow":
            await trio.sleep(1)


async def do(ref, ledger, step, lane, nursery):
    async def send(message):
        try:
            await ref.send(message, lane=lane, timeout_s=2)
        except MailboxFull:
            ledger.refused.append(message[1])

    if step == "kill":
        ref.kill()
    elif step == "wait":
        await trio.sleep(0.7)
    elif step == "send":
        nursery.start_soon(send, ledger.next("tell"))
    else:
        message = ledger.next(step)
        try:
            ref.tell(message, lane=lane)
        except MailboxFull:
            ledger.refused.append(message[1])


@pytest.mark.promise("bitten.every-drop-counted", "peers.restart-gap", "stop.queue")
@settings(max_examples=60, deadline=None)
@given(
    steps=STEPS,
    policy=st.sampled_from(list(Overflow)),
    backoff=st.sampled_from([None, Backoff(min_s=0.5, max_s=2.0)]),
    mode=st.sampled_from(list(StopMode)),
)
def test_every_message_is_accounted_for(steps, policy, backoff, mode):
    ledger = Ledger()
    spec = MailboxSpec(capacity=3, overflow=policy)

    async def main():
        async with ActorSystem("s", intensity=10**6, on_event=lambda _: None, seed=1) as system:
            ref = await system.spawn(ChildSpec("a", lambda: Booked(ledger, spec), backoff=backoff))
            async with trio.open_nursery() as nursery:
                for step, lane in steps:
                    await do(ref, ledger, step, lane, nursery)
                await settled()
                lanes = ref.statistics().values()
                overflow = [letter for letter in system.dead_letters if letter.why == "overflow"]
                assert sum(lane.dropped for lane in lanes) == len(overflow)
                assert sum(lane.rejected for lane in lanes) == len(ledger.refused)
                await ref.stop(mode)
            ref.tell(ledger.next("tell"))
            dead = [letter.message[1] for letter in system.dead_letters]
            assert sorted([*ledger.begun, *ledger.refused, *dead]) == list(range(1, ledger.sent + 1))

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
