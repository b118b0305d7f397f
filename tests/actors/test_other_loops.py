"""What belongs to one trio loop and is used in a thread without one, or on another loop."""

import pytest
import trio

from actors import ActorDied, Ask, ChildSpec, Lane, MailboxSpec, Overflow, Shutdown, conflate, open_mailbox, open_system
from actors.errors import WrongLoop
from tests.actors.troupe import Hang, Player, Read, Run, calls, kill, player, settled, tell


async def in_a_thread(act):
    await trio.to_thread.run_sync(act)


async def on_another_loop(act):
    async def main():
        act()

    await trio.to_thread.run_sync(trio.run, main)


ELSEWHERE = pytest.mark.parametrize("elsewhere", [in_a_thread, on_another_loop])


@pytest.mark.promise("tell.other-loop")
@ELSEWHERE
@pytest.mark.parametrize("policy", [Overflow.WAIT, conflate(str)], ids=["plain", "conflating"])
async def test_telling_an_idle_actor_from_elsewhere_is_refused_before_anything_changes(elsewhere, policy):
    async with open_system("s") as system:
        ref = await system.spawn(player("a", mailbox=MailboxSpec(overflow=policy)))
        assert await ref.ask(Read()) == []
        await settled()
        with pytest.raises(WrongLoop, match=r"trio\.from_thread\.run_sync"):
            await elsewhere(lambda: ref.tell("from elsewhere"))
        assert ref.statistics()[Lane.NORMAL].depth == 0
        with trio.fail_after(60):
            assert await ref.ask(Read()) == []
            await trio.to_thread.run_sync(trio.from_thread.run_sync, ref.tell, "by the loop")
            assert await ref.ask(Read()) == ["by the loop"]
            assert await ref.stop() == Shutdown()
        with pytest.raises(WrongLoop):
            await elsewhere(lambda: ref.tell("to the dead"))
        assert system.dead_letters.count == 0


@pytest.mark.promise("tell.other-loop")
async def test_waiting_for_an_actor_on_another_loop_is_refused(autojump_clock):
    refused = []

    async with open_system("s") as system:
        ref = await system.spawn(player("a", mailbox=MailboxSpec(capacity=1)))
        await tell(ref, Hang())
        ref.tell("waits")
        calls = {
            "ask": lambda: ref.ask(Read()),
            "send": lambda: ref.send("more"),
            "stop": ref.stop,
            "wait_stopped": ref.wait_stopped,
            "spawn": lambda: system.spawn(player("b")),
            "stop system": system.stop,
        }

        async def main():
            for name, call in calls.items():
                try:
                    with trio.fail_after(1):
                        await call()
                except WrongLoop:
                    refused.append(name)

        await trio.to_thread.run_sync(trio.run, main)
        assert refused == list(calls)
        assert [child.path for child in system.root.children()] == ["/s/a"]
        await kill(ref)
        assert await ref.ask(Read()) == ["waits"]


@pytest.mark.promise("tell.other-loop")
@ELSEWHERE
@pytest.mark.parametrize("way", ["kill", "system.kill", "request_stop"])
async def test_nothing_is_ended_from_elsewhere(elsewhere, way):
    async with open_system("s") as system:
        ref = await system.spawn(player("a"))
        act = {"kill": ref.kill, "system.kill": system.kill, "request_stop": system.request_stop}[way]
        with pytest.raises(WrongLoop):
            await elsewhere(act)
        assert await ref.ask(Read()) == []
        assert system.explain(ref.path).incarnation == 1


@pytest.mark.promise("tell.other-loop")
@ELSEWHERE
@pytest.mark.parametrize("how", ["reply", "fail"])
async def test_an_answer_from_elsewhere_is_refused_and_the_asker_still_gets_one(elsewhere, how):
    class Slow(Ask[int]):
        """Answered in the wrong place first."""

    class Careless(Player):
        async def receive(self, message, context):
            if isinstance(message, Slow):
                act = message.reply if how == "reply" else message.fail
                with pytest.raises(WrongLoop):
                    await elsewhere(lambda: act(ValueError()))
                message.reply(1)

    async with open_system("s") as system:
        ref = await system.spawn(ChildSpec("a", Careless))
        with trio.fail_after(60):
            assert await ref.ask(Slow(), timeout_s=60) == 1


@pytest.mark.promise("tell.other-loop")
@ELSEWHERE
@pytest.mark.parametrize("way", ["start_soon", "set_timer", "stop", "watch"])
async def test_a_context_is_refused_elsewhere_and_its_actor_ends_in_order(elsewhere, way):
    async def misuse(context):
        act = {
            "start_soon": lambda: context.start_soon(trio.sleep_forever),
            "set_timer": lambda: context.set_timer("t", 0, "fired"),
            "stop": context.stop,
            "watch": lambda: context.watch(context.parent),
        }[way]
        with pytest.raises(WrongLoop):
            await elsewhere(act)
        return True

    async with open_system("s") as system:
        ref = await system.spawn(player("a"))
        with trio.fail_after(60):
            assert await ref.ask(Run(misuse))
            assert await ref.ask(Read()) == []
            assert await ref.stop() == Shutdown()


@pytest.mark.promise("tell.other-loop")
@ELSEWHERE
async def test_a_mailbox_without_an_actor_is_not_filled_from_elsewhere(elsewhere):
    sender, receiver = await trio.to_thread.run_sync(open_mailbox)
    async with calls(lambda: receiver.receive()) as messages:
        with pytest.raises(WrongLoop):
            await elsewhere(lambda: sender.send_nowait("from elsewhere"))
        sender.send_nowait("here")
    assert messages == ["here"]


async def test_a_dead_actor_is_asked_in_vain_on_its_own_loop_only():
    async with open_system("s") as system:
        ref = await system.spawn(player("a"))
        await ref.stop()
        with pytest.raises(ActorDied):
            await ref.ask(Read())
        with pytest.raises(WrongLoop):
            await trio.to_thread.run_sync(trio.run, lambda: ref.ask(Read()))
