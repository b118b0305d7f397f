"""The view of a running system for a terminal, in its program and in another one."""

import io
import os
import stat
import subprocess
import sys
from functools import partial

import pytest
import trio
import trio.testing

from actors import ActorSystem, Backoff, ChildSpec, SlowHandler, StartChild, Supervisor, open_system
from actors.top import Reading, Row, Slow, SystemReader, draw, main, serve_top, top, watch
from tests.actors.troupe import Boom, Hang, player, tell


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Awaited(io.StringIO):
    """Says when it was written to."""

    def __init__(self):
        super().__init__()
        self.written = trio.Event()

    def write(self, text):
        self.written.set()
        return super().write(text)


def reading(*rows, slow=()):
    return Reading(1, 2, 3, list(slow), list(rows))


def row(name, level=1, state="running", queued=0, restarts=0, age_s=5.0, error=None):
    return Row(level, name, "Kind", state, queued, restarts, age_s, error)


def names(text):
    return [line.split("  ")[-1].split("(")[0].strip() for line in text.splitlines()[2:]]


# Reading


async def test_a_reading_has_every_actor_in_the_order_of_the_tree(autojump_clock, system):
    sup = await system.spawn(ChildSpec("sup", Supervisor))
    busy = await sup.ask(StartChild(player("busy")))
    failing = await system.spawn(player("failing", backoff=Backoff(min_s=60)))
    await tell(busy, Hang())
    busy.tell("waits")
    await tell(failing, Boom(ValueError("first line\nsecond")))
    await trio.sleep(3)
    read = SystemReader(system).read()
    assert read.rows == [
        Row(0, "test", "Supervisor", "running", 0, 0, 3.0, None),
        Row(1, "sup", "Supervisor", "running", 0, 0, 3.0, None),
        Row(2, "busy", "Player", "running", 1, 0, 3.0, None),
        Row(1, "failing", "Player", "backing_off", 0, 1, 3.0, "ValueError: first line"),
    ]


async def test_a_reading_has_the_last_reports_of_a_held_loop(autojump_clock, system):
    reader = SystemReader(system)
    system.listen(reader.hear)
    system.emit(SlowHandler("/test/a", "Order", 0.25))
    for number in range(5):
        system.emit(SlowHandler(None, None, 0.125, f"task {number}"))
        await trio.sleep(1)
    assert reader.read().slow == [Slow(5.0 - number, 0.125, f"task {number}", None) for number in range(5)]


async def test_a_reading_is_the_same_after_it_was_sent(autojump_clock, system):
    reader = SystemReader(system)
    reader.hear(SlowHandler("/test/a", "Order", 0.25))
    read = reader.read()
    assert Reading.decode(read.encode()) == read


# Drawing


def test_the_view_has_counts_and_a_line_for_each_actor():
    rows = [
        row("shop", 0),
        row("till", queued=35, restarts=2, age_s=150, error="ValueError: cold"),
        row("oven", state="backing_off", age_s=7201),
    ]
    slow = [Slow(3.0, 0.25, "/shop/till", "Order"), Slow(1.0, 0.5, "main", None)]
    assert draw(reading(*rows, slow=slow), rows=20, columns=100) == (
        "2 of 3 actors run, 35 queued, 2 restarts, 1 dead letters, 2 unhandled, 3 late replies\n"
        " QUEUED RESTARTS    AGE  STATE        ACTOR\n"
        "      0        0     5s  running      shop (Kind)\n"
        "     35        2     2m  running        till (Kind)  ValueError: cold\n"
        "      0        0     2h  backing_off    oven (Kind)\n"
        "held the loop for 0.50 s, 1s ago: main\n"
        "held the loop for 0.25 s, 3s ago: /shop/till at Order\n"
    )


def test_a_small_view_has_the_actors_in_trouble_and_their_parents():
    quiet = [row(f"quiet-{number}") for number in range(50)]
    deep = [row("room", 1), row("away", 2, state="backing_off")]
    drawn = draw(reading(row("shop", 0), *quiet, row("full", queued=5), *deep), rows=7, columns=80)
    assert names(drawn) == ["shop", "full", "room", "away", "… and 50 quieter actors"]
    assert len(drawn.splitlines()) == 7


def test_a_line_is_cut_at_the_edge():
    drawn = draw(reading(row("shop", 0, error="x" * 100)), rows=20, columns=60)
    assert max(map(len, drawn.splitlines())) == 60


def test_nothing_in_a_name_or_an_error_reaches_the_terminal_as_a_control():
    drawn = draw(reading(row("shop\x1b[2J", 0, error="\x9b31m\u202e")), rows=20, columns=80)
    assert "shop?[2J (Kind)  ?31m?" in drawn


# In the program


@pytest.mark.parametrize(("kind", "again"), [(io.StringIO, 3), (Terminal, 3)])
async def test_the_view_is_drawn_until_the_system_ends(autojump_clock, kind, again):
    file = kind()
    async with trio.open_nursery() as nursery, open_system("shop", [player("till")]) as system:
        nursery.start_soon(partial(top, system, file, every_s=2.0))
        await trio.sleep(5)
    drawn = file.getvalue()
    assert drawn.count("2 of 2 actors run") == again
    assert drawn.count("\x1b[H") == (again if kind is Terminal else 0)
    assert trio.current_time() == 5


async def test_the_view_is_drawn_on_standard_output(autojump_clock, system, capsys):
    with trio.move_on_after(0.5):
        await top(system)
    assert "1 of 1 actors run" in capsys.readouterr().out


# In another terminal


async def served(system, path, nursery):
    await nursery.start(partial(serve_top, system, path, every_s=0.01))


async def test_another_terminal_shows_the_same(tmp_path):
    path, file = tmp_path / "shop.top", io.StringIO()
    async with trio.open_nursery() as nursery, ActorSystem("shop", [player("till")]) as system:
        await served(system, path, nursery)
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        with trio.fail_after(60):
            await watch(str(path), file, most=2)
    assert file.getvalue().count("till (Player)") == 2
    assert not path.exists()


async def test_a_client_that_leaves_harms_nobody(tmp_path):
    path = tmp_path / "shop.top"
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery, ActorSystem("shop") as system:
            await served(system, path, nursery)
            for _ in range(3):
                stream = await trio.open_unix_socket(str(path))
                await stream.receive_some()
                await stream.aclose()
            await trio.sleep(0.1)
            await watch(str(path), io.StringIO(), most=1)


async def test_a_socket_that_was_left_behind_is_replaced_and_a_file_is_not(tmp_path):
    path = tmp_path / "shop.top"
    left = trio.socket.socket(trio.socket.AF_UNIX)
    await left.bind(str(path))
    left.close()
    async with trio.open_nursery() as nursery, ActorSystem("shop") as system:
        await served(system, path, nursery)
        await watch(str(path), io.StringIO(), most=1)
        file = tmp_path / "file"
        file.write_text("mine")
        with pytest.raises(OSError, match="in use"):
            await serve_top(system, file)
        assert file.read_text() == "mine"


async def test_the_command_shows_a_program(tmp_path):
    path = tmp_path / "shop.top"
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery, ActorSystem("shop", [player("till")]) as system:
            await served(system, path, nursery)
            command = [sys.executable, "-W", "error", "-m", "actors.top", str(path), "--once"]
            ran = await trio.run_process(command, capture_stdout=True, capture_stderr=True)
    assert ran.stdout.decode().splitlines()[0].startswith("2 of 2 actors run")
    assert ran.stderr == b""


def test_the_command_says_that_no_program_is_there(tmp_path, capsys):
    assert main([str(tmp_path / "nobody")]) == 1
    assert "nobody" in capsys.readouterr().err


def test_the_command_explains_itself():
    ran = subprocess.run([sys.executable, "-m", "actors.top", "--help"], capture_output=True, text=True, check=True)
    assert "Draw the actors of a running program." in ran.stdout
