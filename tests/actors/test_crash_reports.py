"""What is told of crashes and other ends, and what is not."""

import pytest
import trio
import trio.testing

from actors import (
    Actor,
    ActorCrashed,
    ActorSystem,
    ChildSpec,
    Directive,
    Ignore,
    Restart,
    StartDeclined,
    StartFailed,
    Supervision,
)
from tests.actors.troupe import Boom, Player, Run, player, settled, sleeping, tell


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
    assert not [event for event in events if isinstance(event, ActorCrashed)]


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
    crashes = [event for event in events if isinstance(event, ActorCrashed)]
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
    assert not [event for event in events if isinstance(event, ActorCrashed)]


@pytest.mark.promise("report.crash-once", "bitten.failures-reach-owner")
async def test_a_crash_whose_stop_hook_hangs_is_still_that_crash(autojump_clock, system, events):
    ref = await system.spawn(player("a", stopping=sleeping(), restart=Restart.TEMPORARY))
    ref.tell(Boom(KeyError("why")))
    exit_ = await ref.wait_stopped()
    assert isinstance(exit_.error, KeyError)
    (crash,) = [event for event in events if isinstance(event, ActorCrashed)]
    assert "KeyError: 'why'" in crash.traceback
    assert trio.current_time() == 5.0


@pytest.mark.promise("report.redacted")
async def test_what_users_wrote_is_in_no_record(autojump_clock, system, events):
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


@pytest.mark.promise("report.redacted")
async def test_the_text_of_an_error_is_redacted_wherever_it_is_shown(autojump_clock, events):
    def redact(text):
        return text.replace("secret", "...")

    async with ActorSystem("s", on_event=events.append, redact=redact, intensity=9) as system:
        for name, directive in (("crashes", Directive.RESTART), ("resumes", Directive.RESUME)):
            ref = await system.spawn(player(name, directives={ValueError: directive}))
            await tell(ref, Boom(ValueError("a secret")))
            assert "ValueError: a ..." in system.explain(f"/s/{name}").text()
        assert [node.last_error for node in system.tree().children] == ["ValueError: a ..."] * 2
        assert "secret" not in system.tree().text()
    crashes = [event for event in events if isinstance(event, ActorCrashed)]
    assert len(crashes) == 2
    assert not any("secret" in crash.traceback for crash in crashes)
