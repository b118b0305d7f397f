"""Why an actor is where it is, and what a crash report says."""

import pytest
import trio

from actors import ActorCrashed, ActorSystem, Backoff, ChildSpec, Decision, Restart, State, Strategy, Supervisor
from tests.actors.troupe import Boom, Player, player, tell


@pytest.mark.promise("bitten.backoff-is-a-state")
async def test_an_explanation_says_why_an_actor_restarted_last(autojump_clock, system):
    ref = await system.spawn(player("a", backoff=Backoff(min_s=10, jitter=0)))
    ref.tell(Boom(ValueError("no such thing")))
    await trio.sleep(4)
    explanation = system.explain("/test/a")
    assert (explanation.state, explanation.restarts, explanation.incarnation) == (State.BACKING_OFF, 1, 1)
    (incident,) = explanation.incidents
    assert incident.message_type == "Boom"
    assert incident.decision is Decision.BACK_OFF
    assert incident.delay_s == 10
    assert explanation.text() == (
        "/test/a (Player) is restarting since 4.0 s: incarnation 1, 1 restarts\n"
        "  4.0 s ago: incarnation 1 ended, crashed: ValueError: no such thing, at work on Boom; decision: back off 10 s"
    )


async def test_an_explanation_names_the_sibling_that_failed(autojump_clock, system):
    children = [player("a"), player("b")]
    ref = await system.spawn(ChildSpec("sup", lambda: Supervisor(children, Strategy.ONE_FOR_ALL)))
    await tell(ref.children()[1], Boom())
    (incident,) = system.explain("/test/sup/a").incidents
    assert incident.because_of == "/test/sup/b"
    assert "because /test/sup/b failed" in system.explain("/test/sup/a").text()


async def test_an_explanation_has_the_last_incidents_only(autojump_clock):
    async with ActorSystem("s", intensity=100, on_event=lambda _: None) as system:
        ref = await system.spawn(player("a"))
        for number in range(20):
            await tell(ref, Boom(ValueError(str(number))))
        explanation = system.explain("/s/a")
    assert explanation.restarts == 20
    assert [incident.incarnation for incident in explanation.incidents] == list(range(13, 21))


async def test_an_actor_that_never_ended_says_so(autojump_clock, system):
    await system.spawn(player("a"))
    await trio.sleep(7)
    assert system.explain("/test/a").text() == (
        "/test/a (Player) is running since 7.0 s: incarnation 1, 0 restarts\n  none of its incarnations has ended"
    )


class Secretive(Player):
    """Shows what it likes of its state."""

    def __init__(self, report):
        super().__init__()
        self.password = "hunter2"
        self.report = report

    def report_state(self):
        return self.report()


async def crash(system, factory, error=None):
    reports = []
    remove = system.listen(reports.append)
    ref = await system.spawn(ChildSpec("a", factory, restart=Restart.TEMPORARY))
    await tell(ref, Boom(error or ValueError("boom")))
    remove()
    (report,) = [record for record in reports if isinstance(record, ActorCrashed)]
    return report


@pytest.mark.promise("report.crash-once")
async def test_a_crash_report_shows_the_types_of_the_state_and_no_value(autojump_clock, system):
    report = await crash(system, lambda: Player("hunter2"))
    assert "'name': 'str'" in report.state
    assert "hunter2" not in report.state


async def test_errors_tracebacks_and_states_go_through_redact(autojump_clock):
    def redact(text):
        return text.replace("hunter2", "***")

    async with ActorSystem("s", intensity=9, redact=redact, on_event=lambda _: None) as system:
        report = await crash(system, lambda: Secretive(lambda: "hunter2"), ValueError("hunter2"))
        assert (report.state, "hunter2" in report.traceback) == ("***", False)
        assert "hunter2" not in system.explain("/s/a").text()
    async with ActorSystem("s", intensity=9, redact=lambda _: 1 / 0, on_event=lambda _: None) as system:
        report = await crash(system, Player)
        assert report.traceback == "redact raised ZeroDivisionError"


async def test_the_age_of_an_actor_that_backs_off_is_that_of_its_wait(autojump_clock, system):
    ref = await system.spawn(player("a", backoff=Backoff(min_s=10, jitter=0)))
    await trio.sleep(100)
    ref.kill()
    await trio.sleep(3)
    assert system.tree().children[0].age_s == pytest.approx(3)
    await ref.stop()
