"""Children made from one template."""

import pytest
import trio

from actors import (
    AlreadyStarted,
    AskTimeout,
    Backoff,
    ChildSpec,
    CountChildren,
    Ignore,
    InvalidSpec,
    StartDeclined,
    StartFailed,
    Supervisor,
    TooManyChildren,
)
from actors.behaviours.dynamic_supervisor import DynamicSupervisor, StartFromTemplate
from tests.actors.troupe import Boom, Player, Read, during, kill, player, settled, sleeping, tell


class Room(Player):
    """A player with a topic and a size."""

    def __init__(self, topic, seats=10):
        super().__init__()
        self.heard = [topic, seats]


def room(topic, seats=10, **options):
    return ChildSpec(f"room-{topic}", lambda: Room(topic, seats), **options)


async def open_rooms(system, template=room, **options):
    return await system.spawn(ChildSpec("rooms", lambda: DynamicSupervisor(template, **options)))


@pytest.fixture
async def rooms(system):
    return await open_rooms(system)


@pytest.mark.promise("restart.dynamic-template")
async def test_children_come_from_the_template_with_their_own_arguments(autojump_clock, rooms):
    cats = await rooms.ask(StartFromTemplate("cats"))
    dogs = await rooms.ask(StartFromTemplate("dogs", seats=3))
    assert (cats.path, dogs.path) == ("/test/rooms/room-cats", "/test/rooms/room-dogs")
    assert await cats.ask(Read()) == ["cats", 10]
    assert await dogs.ask(Read()) == ["dogs", 3]
    assert rooms.children() == [cats, dogs]


@pytest.mark.promise("restart.dynamic-template")
async def test_a_restarted_child_keeps_its_arguments(autojump_clock, rooms):
    cats, dogs = [await rooms.ask(StartFromTemplate(name)) for name in ("cats", "dogs")]
    dogs.tell("remembered")
    await tell(cats, "forgotten", Boom())
    assert await cats.ask(Read()) == ["cats", 10]
    assert await dogs.ask(Read()) == ["dogs", 10, "remembered"]


@pytest.mark.promise("restart.dynamic-template")
async def test_a_spec_is_a_template_with_numbers(autojump_clock, system):
    rooms = await open_rooms(system, player("p"))
    refs = [await rooms.ask(StartFromTemplate()) for _ in range(3)]
    assert [ref.path for ref in refs] == [f"/test/rooms/p-{number}" for number in (1, 2, 3)]
    await refs[2].stop()
    assert (await rooms.ask(StartFromTemplate())).path == "/test/rooms/p-4"
    with pytest.raises(TypeError, match="argument"):
        await rooms.ask(StartFromTemplate("cats"))


@pytest.mark.promise("restart.dynamic-template")
async def test_there_is_a_maximum(autojump_clock, system):
    rooms = await open_rooms(system, lambda name, **options: player(name, **options), max_children=2)
    failing = await rooms.ask(StartFromTemplate("a", backoff=Backoff(60.0, 60.0)))
    await tell(failing, Boom())
    async with during(rooms.ask, StartFromTemplate("slow", starting=sleeping(1.0))):
        with pytest.raises(TooManyChildren):
            await rooms.ask(StartFromTemplate("b"))
    with pytest.raises(TooManyChildren, match="/test/rooms has 2 children already"):
        await rooms.ask(StartFromTemplate("b"))
    await failing.stop()
    assert (await rooms.ask(StartFromTemplate("b"))).alive


@pytest.mark.promise("start.failure-names-child-and-cause", "start.ignore")
async def test_a_start_that_fails_is_its_askers_affair(autojump_clock, system):
    def decline(_):
        raise Ignore

    rooms = await open_rooms(system, lambda name, **options: player(name, **options))
    first = await rooms.ask(StartFromTemplate("a"))
    with pytest.raises(StartFailed, match="/test/rooms/b did not start: ZeroDivisionError"):
        await rooms.ask(StartFromTemplate("b", starting=lambda _: 1 / 0))
    with pytest.raises(StartDeclined):
        await rooms.ask(StartFromTemplate("b", starting=decline))
    with pytest.raises(StartFailed, match="within 1 s"):
        await rooms.ask(StartFromTemplate("b", starting=sleeping(), start_timeout_s=1.0))
    with pytest.raises(AlreadyStarted) as caught:
        await rooms.ask(StartFromTemplate("a"))
    assert caught.value.ref is first
    assert rooms.children() == [first]


@pytest.mark.promise("start.invalid-specs")
async def test_a_template_that_fails_is_its_askers_affair_too(autojump_clock, system, rooms):
    with pytest.raises(TypeError, match="topic"):
        await rooms.ask(StartFromTemplate())
    with pytest.raises(InvalidSpec, match="shutdown_s"):
        await rooms.ask(StartFromTemplate("cats", shutdown_s=-1))
    odd = await system.spawn(ChildSpec("odd", lambda: DynamicSupervisor(lambda: "no spec")))
    with pytest.raises(InvalidSpec, match="template: made a str, not a ChildSpec"):
        await odd.ask(StartFromTemplate())
    assert odd.alive
    with pytest.raises(InvalidSpec, match="template: must be"):
        DynamicSupervisor("no template")


@pytest.mark.promise("restart.dynamic-template", "restart.sub-supervisor")
async def test_when_the_supervisor_restarts_its_children_do_not_come_back(autojump_clock, system):
    above = await system.spawn(
        ChildSpec("above", lambda: Supervisor([ChildSpec("rooms", lambda: DynamicSupervisor(room))]))
    )
    (rooms,) = above.children()
    child = await rooms.ask(StartFromTemplate("cats"))
    await kill(rooms)
    assert not child.alive
    assert rooms.children() == []
    assert await (await rooms.ask(StartFromTemplate("cats"))).ask(Read()) == ["cats", 10]


async def test_arguments_do_not_show(autojump_clock, system):
    assert repr(StartFromTemplate("secret", key="secret")) == "StartFromTemplate(2 arguments)"
    rooms = await open_rooms(system)
    rooms.tell("what?")
    await rooms.ask(CountChildren())
    await settled()
    assert system.unhandled == 1


@pytest.mark.promise("bitten.cancelled-ask")
@pytest.mark.parametrize("takes_s", [5.0, 10.0])
async def test_a_child_whose_asker_left_is_stopped_again(autojump_clock, system, takes_s):
    rooms = await open_rooms(system, lambda name, **options: player(name, **options))
    for number in range(3):
        request = StartFromTemplate(f"r{number}", starting=sleeping(takes_s))
        with pytest.raises(AskTimeout):
            await rooms.ask(request, timeout_s=5.0)
    await trio.sleep(20)
    assert rooms.children() == []


async def test_the_children_are_stopped_all_at_once(autojump_clock, system):
    rooms = await open_rooms(system, lambda name, **options: player(name, **options))
    for number in range(100):
        await rooms.ask(StartFromTemplate(f"r{number}", stopping=sleeping(1.0)))
    await rooms.stop()
    assert trio.current_time() == 1.0


@pytest.mark.promise("restart.dynamic-template")
async def test_a_template_may_leave_the_ids_to_the_supervisor(autojump_clock, system):
    rooms = await open_rooms(system, lambda topic: ChildSpec("room", lambda: Room(topic)), numbered=True)
    refs = [await rooms.ask(StartFromTemplate(topic)) for topic in ("cats", "cats", "dogs")]
    assert [ref.path for ref in refs] == [f"/test/rooms/room-{number}" for number in (1, 2, 3)]
    assert await refs[2].ask(Read()) == ["dogs", 10]
    await refs[2].stop()
    assert (await rooms.ask(StartFromTemplate("mice"))).path == "/test/rooms/room-4"
