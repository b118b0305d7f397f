"""What is told of crashes and other ends, and what is not."""

import pytest

from actors import (
    Actor,
    ActorCrashed,
    ChildSpec,
    Ignore,
    Restart,
    StartDeclined,
    StartFailed,
    Supervision,
)
from tests.actors.troupe import Boom, Player, Run, of_type, player, settled, tell


@pytest.mark.promise("report.normal-is-no-crash")
async def test_an_end_in_order_is_reported_as_no_crash(autojump_clock, system, events):
    def decline(_):
        raise Ignore

    ref = await system.spawn(player("wish", restart=Restart.TRANSIENT))
    await ref.ask(Run(lambda context: context.stop()))
    parent = await system.spawn(player("parent", supervision=Supervision()))
    await parent.ask(Run(lambda context: context.spawn(player("kid"))))
    await parent.stop()
    with pytest.raises(StartDeclined):
        await system.spawn(player("decliner", starting=decline))
    await settled()
    assert not of_type(events, ActorCrashed)


@pytest.mark.promise("report.crash-once")
async def test_each_crash_is_reported_once_with_all_that_is_known(autojump_clock, system, events):
    class Chatty(Player):
        def report_state(self):
            return f"{len(self.heard)} heard"

    ref = await system.spawn(ChildSpec("chatty", Chatty))
    for secret in ("first secret", "second secret"):
        ref.tell(secret)
    for _ in range(2):
        await tell(ref, Boom(KeyError("wrong")))
    crashes = of_type(events, ActorCrashed)
    assert [(event.path, event.incarnation, event.message_type, event.state) for event in crashes] == [
        ("/test/chatty", 1, "Boom", "2 heard"),
        ("/test/chatty", 2, "Boom", "0 heard"),
    ]
    assert all(event.decision.value == "restart" for event in crashes)
    assert all("KeyError: 'wrong'" in event.traceback for event in crashes)
    assert "secret" not in repr(events)


@pytest.mark.promise("report.crash-once")
async def test_a_first_start_that_fails_is_told_to_its_starter_and_to_nobody_else(autojump_clock, system, events):
    def fail(_):
        raise OSError("no")

    with pytest.raises(StartFailed):
        await system.spawn(player("a", starting=fail))
    assert not of_type(events, ActorCrashed)


@pytest.mark.promise("report.redacted")
async def test_the_text_of_users_is_in_no_record(autojump_clock, system, events):
    ref = await system.spawn(ChildSpec("plain", Actor, restart=Restart.TEMPORARY))
    await tell(ref, "a secret")
    await ref.stop()
    ref.tell("a secret")
    other = await system.spawn(player("other"))
    await tell(other, "a secret", Boom())
    assert len(events) >= 5
    assert "secret" not in repr(events)
    assert "secret" not in system.explain("/test/other").text()
    assert "secret" not in system.tree().text()
