"""Conformance to RFC 6455, case by case, with an independent client over real sockets.

The numbers are those of the Autobahn test suite (https://github.com/crossbario/autobahn-testsuite), which needs
Python 2.7. To run the original suite: `pip install autobahntestsuite` there, start
`python -m tests.rigs.echo_server --port 9001 --deflate`, and point `wstest -m fuzzingclient` to it.
"""

import pytest
import trio

from tests.conformance.cases import Answer, Case, Pause, every
from tests.rigs.echo_server import LIMITS, EchoUpgrades
from tests.rigs.loopback_server import open_server
from tests.rigs.raw_websocket import CLOSE, RawWebSocket, Received, close, raw_websocket

CASES = list(every())


@pytest.mark.promise("wire.bad-frame-mask", "wire.bad-utf-split")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_case(case: Case) -> None:
    """The server sends every answer of the case, in order, then the close frame with one of its codes, and ends the
    stream.
    """
    with trio.fail_after(60):
        async with open_server(EchoUpgrades().handle_upgrade, socket=LIMITS) as port, raw_websocket(port) as client:
            play = await _play(client, case)
            ending = await _to_the_end(client, case)
    assert [(frame.opcode, frame.payload) for frame in play + ending[:-1]] == _expected(case)
    assert ending[-1].opcode == CLOSE
    assert ending[-1].code in case.codes
    assert all(frame.fin and not frame.rsv for frame in play + ending)


async def _play(client: RawWebSocket, case: Case) -> list[Received]:
    """Send the script. Return the answers expected so far."""
    came: list[Received] = []
    for step in case.script:
        if isinstance(step, Pause):
            came += [await client.frame() for _ in step.answers]
            await _silence(client)
        else:
            await client.send(step, case.chop)
    return came


async def _silence(client: RawWebSocket) -> None:
    """Check that the server sends nothing more and keeps the connection."""
    await trio.testing.wait_all_tasks_blocked()
    with trio.move_on_after(0.02) as patience:
        pytest.fail(f"{await client.frame()} came too early")
    assert patience.cancelled_caught


async def _to_the_end(client: RawWebSocket, case: Case) -> list[Received]:
    """Return the remaining answers and the close frame. Without a fault the client sends its close first."""
    frames: list[Received] = []
    if case.codes == {1000} and not _closes(case):
        awaited = len(_expected(case)) - sum(len(step.answers) for step in case.script if isinstance(step, Pause))
        frames = [await client.frame() for _ in range(awaited)]
        await client.send(close(1000))
    frames += await client.frames_to_the_end()
    await client.stream.send_eof()  # type: ignore[attr-defined]
    assert await client.ended()
    return frames


def _closes(case: Case) -> bool:
    """Return whether the script has a close frame, by the frames' first bytes."""
    return case.name.startswith("7.")


def _expected(case: Case) -> list[Answer]:
    return [*(answer for step in case.script if isinstance(step, Pause) for answer in step.answers), *case.answers]


def test_no_number_is_twice() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
    groups = [sum(name.startswith(f"{group}.") for name in names) for group in (1, 2, 3, 4, 5, 6, 7, 10)]
    assert groups == [16, 11, 7, 10, 20, 145, 37, 1]
