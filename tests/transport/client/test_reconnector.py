"""Reconnecting: delays, tokens, silence, and the reported state."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import jwt
import pytest
import trio
from trio.testing import MockClock

from tests.rigs.loopback_server import open_server
from tests.transport.client.scripted import QUICK, event, hear, kinds, next_events, stay, staying, talking
from transport.server.http import error_body
from transport.server.listener import Upgrade
from transport.server.socket import Socket
from transport.wire.errors import SocketClosed, Unauthenticated
from understudy.client import Reconnect, State, Status, open_client

SLOW = Reconnect(first_s=8.0, max_s=60.0, connect_s=5.0, ping_s=1000.0)


def closing(code: int, *frames: bytes, after_s: float = 0.0) -> Callable[[Socket], Awaitable[None]]:
    """A connection that says this, and is closed after a time."""

    async def step(socket: Socket) -> None:
        await socket.write([event("welcome", thread_id=None), *frames])
        await trio.sleep(after_s)
        await socket.close(code, "so it is")

    return step


async def comings(*steps: Callable[[Socket], Awaitable[None]], count: int, **options: Any) -> list[float]:
    """When the connections of a client came, counted from the first."""
    with trio.fail_after(100_000):
        async with talking(*steps, **{"reconnect": SLOW, "chance": lambda: 1.0} | options) as (client, script):
            async for _ in client:
                if len(script.came) == count:
                    return [round(when - script.came[0]) for when in script.came]
    raise AssertionError("it ended")


async def test_it_comes_back_when_the_server_said_and_not_sooner(autojump_clock: MockClock) -> None:
    """After a `drain`, counted from the connection's end, without any backoff, for a connection that stood a while."""

    async def drain(socket: Socket) -> None:
        await socket.write([event("welcome", thread_id=None)])
        await trio.sleep(10)
        await socket.write([event("drain", thread_id=None, reconnect_after_s=40.0, closes_in_s=7.0)])
        await trio.sleep(7)
        await socket.close(1001)

    assert await comings(drain, drain, stay_after_welcome, count=3) == [0, 57, 114]


stay_after_welcome = staying(event("welcome", thread_id=None))


@pytest.mark.parametrize("frames", [(), (event("drain", thread_id=None, reconnect_after_s=0.0),)])
async def test_a_server_that_goes_away_at_once_each_time_is_backed_off_from(
    frames: tuple[bytes, ...], autojump_clock: MockClock
) -> None:
    """Also if it says that it is back in no time."""
    assert await comings(closing(1001, *frames), count=6) == [0, 8, 24, 56, 116, 176]


async def test_a_connection_that_stood_begins_the_count_anew(autojump_clock: MockClock) -> None:
    """Two failures, then a connection that lasted `steady_s`: the count restarts."""
    steps = [closing(1011), closing(1013), closing(1011, after_s=10), closing(1011)]
    assert await comings(*steps, count=5) == [0, 8, 24, 42, 50]


@pytest.mark.parametrize("status", [429, 503])
async def test_a_server_that_is_full_is_left_alone_as_long_as_it_says(status: int, autojump_clock: MockClock) -> None:
    came: list[float] = []

    async def serve(upgrade: Upgrade) -> None:
        came.append(trio.current_time())
        if len(came) < 3:
            headers = {"Retry-After": "100" if len(came) == 1 else "1"}
            await upgrade.refuse(status, error_body("busy"), headers)
        else:
            await stay_after_welcome(await upgrade.accept("understudy.v1"))

    async with open_server(serve) as port:
        url = f"ws://127.0.0.1:{port}/ws"
        async with open_client(url, reconnect=SLOW, chance=lambda: 1.0) as client:
            with trio.fail_after(1000):
                await anext(client)
    assert [round(when - came[0]) for when in came] == [0, 100, 116]


@pytest.mark.parametrize("status", [200, 302, 404, 421])
async def test_errors_of_a_proxy_whose_server_is_away_pass(status: int, autojump_clock: MockClock) -> None:
    """A client that was online tries again; one that never was has the wrong address."""
    answers = [status, None, status, status, None]

    async def serve(upgrade: Upgrade) -> None:
        if (answer := answers.pop(0)) is not None:
            await upgrade.refuse(answer, {"page": "Back soon"})
        else:
            await closing(1001, after_s=10)(await upgrade.accept("understudy.v1"))

    async with open_server(serve) as port:
        url = f"ws://127.0.0.1:{port}/ws"
        async with open_client(url, reconnect=QUICK, chance=lambda: 1.0) as client:
            with trio.fail_after(100), pytest.raises(SocketClosed, match=str(status)):
                await anext(client)
        async with open_client(url, reconnect=QUICK, chance=lambda: 1.0) as client:
            with trio.fail_after(100):
                async for state in client.states():
                    if not answers and state.status is Status.ONLINE:
                        break
    assert answers == []


async def test_a_server_that_closes_at_once_is_given_up(autojump_clock: MockClock) -> None:
    with trio.fail_after(1000):
        async with talking(closing(1011)) as (client, script):
            with pytest.raises(SocketClosed, match="cannot be reached: closed with 1011: so it is"):
                async for _ in client:
                    pass
            assert len(script.came) == QUICK.attempts


async def test_states_are_told(autojump_clock: MockClock) -> None:
    states: list[State] = []

    async def follow(client: Any) -> None:
        async for state in client.states():
            states.append(state)

    async with trio.open_nursery() as nursery:
        async with talking(closing(1013, after_s=10), closing(4403), reconnect=SLOW, chance=lambda: 0.5) as (client, _):
            nursery.start_soon(follow, client)
            with trio.fail_after(100), pytest.raises(SocketClosed):
                async for _event in client:
                    pass
            late = [state async for state in client.states()]
        assert client.state.status is Status.REFUSED
    assert [state.status for state in states] == ["connecting", "online", "offline", "connecting", "online", "refused"]
    assert states[2].reason == "closed with 1013: so it is"
    assert states[2].retry_at == pytest.approx(trio.current_time(), abs=2)
    assert late == [states[-1]] == [State(Status.REFUSED, "closed with 4403: so it is")]


async def test_the_end_of_the_block_is_a_state() -> None:
    """Nothing follows it, and nothing can be said."""
    async with talking(stay_after_welcome) as (client, _):
        await next_events(client, 1)
        assert client.state == State(Status.ONLINE)
    assert [state async for state in client.states()] == [State(Status.CLOSED)]
    for say in (client.say("hi"), client.cancel("r"), client.answer("hi")):
        with pytest.raises(trio.ClosedResourceError):
            await say


# Silence


async def test_a_half_open_connection_is_found(autojump_clock: MockClock) -> None:
    """Within `ping_s`, though TCP says nothing; the state says why."""
    how = Reconnect(first_s=0.01, max_s=0.01, ping_s=20.0)

    async def hang(socket: Socket) -> None:
        await socket.write([event("welcome", thread_id=None)])
        await trio.sleep_forever()

    with trio.fail_after(1000):
        async with talking(hang, stay_after_welcome, reconnect=how) as (client, script):
            states = client.states()
            while (state := await anext(states)).status is not Status.OFFLINE:
                pass
            assert state.reason == "the server does not answer any more"
            assert trio.current_time() - script.came[0] <= 20.5
            await next_events(client, 2)


async def test_a_caller_who_takes_nothing_is_no_silence(autojump_clock: MockClock) -> None:
    """The connection stands for as long as the server bears it, and then everything is there, once."""
    many = [event("agent_thinking", seq) for seq in range(1, 1201)]
    with trio.fail_after(1000):
        async with talking(staying(*many), reconnect=Reconnect(ping_s=4.0)) as (client, script):
            await trio.sleep(100)
            assert [(await anext(client)).seq for _ in many] == list(range(1, 1201))
            await trio.sleep(10)
    assert len(script.came) == 1


async def test_the_time_there_and_back_is_known() -> None:
    async with talking(stay_after_welcome, reconnect=Reconnect(ping_s=0.02)) as (client, _):
        assert client.rtt_s is None
        with trio.fail_after(60):
            while client.rtt_s is None:
                await trio.lowlevel.checkpoint()
        assert 0 < client.rtt_s < 60


# Tokens


def token(name: str, left_s: float) -> str:
    return jwt.encode({"sub": name, "exp": time.time() + left_s}, "k" * 32, "HS256")


async def test_a_source_gives_a_token_for_each_connection() -> None:
    """A sync and an async source: the server gets the latest token at each connection."""
    tokens: list[str] = []

    def source() -> str:
        tokens.append(f"token-{len(tokens)}")
        return tokens[-1]

    async def later() -> str:
        await trio.lowlevel.checkpoint()
        return source()

    for token_source in (source, later):
        tokens.clear()
        async with talking(closing(1011), closing(1011), stay_after_welcome, token=token_source) as (client, script):
            await next_events(client, 3)
            assert client.token == "token-2"
        shown = [upgrade.headers["authorization"] for upgrade in script.upgrades]
        assert shown == [f"Bearer {token}" for token in tokens]


async def test_a_token_is_renewed_before_it_runs_out(autojump_clock: MockClock) -> None:
    """At four fifths of its life the source is asked, and the newer token is presented once."""
    tokens = [token("first", 100), token("second", 1000)]
    times: list[float] = []

    def source() -> str:
        times.append(trio.current_time())
        return tokens[min(len(times), len(tokens)) - 1]

    async def step(socket: Socket) -> None:
        await socket.write([event("welcome", thread_id=None)])
        refresh = await hear(socket)
        assert refresh == {"type": "refresh", "payload": {"session_token": tokens[1]}}
        await stay(socket, event("pong", thread_id=None))

    with trio.fail_after(5000):
        async with talking(step, token=source, reconnect=SLOW) as (client, _):
            assert [(await anext(client)).type for _ in range(2)] == ["welcome", "pong"]
            assert times[1] - times[0] == pytest.approx(80, abs=3)
            await trio.sleep(120)
    assert len(times) == 2


async def test_a_message_that_came_too_late_for_its_token_is_said_again(autojump_clock: MockClock) -> None:
    """The server wants a new token; the caller hears nothing of it, but the answer."""
    received: list[Any] = []
    count = iter(range(100))

    async def step(socket: Socket) -> None:
        received.append(await hear(socket))
        refused = event("error", code="token_expired", message_id=None)
        await socket.write([refused.replace(b'"type"', b'"message_id": "mine", "type"')])
        received.extend([await hear(socket), await hear(socket)])
        await stay(socket, event("message_accepted", 1))

    async with talking(step, token=lambda: f"token-{next(count)}", reconnect=SLOW) as (client, _):
        await trio.sleep(60)
        await client.say("hi", message_id="mine")
        assert await kinds(client, 1) == ["message_accepted"]
    assert [command["type"] for command in received] == ["user_message", "refresh", "user_message"]
    assert received[1]["payload"] == {"session_token": "token-1"}


@pytest.mark.parametrize("way", ["handshake", "close"])
async def test_a_refused_token_is_asked_for_once_more(way: str) -> None:
    """A source may have a better one; two refusals in a row are the end. A token that stays gets one."""
    calls: list[int] = []

    async def serve(upgrade: Upgrade) -> None:
        if way == "handshake":
            await upgrade.refuse(401, error_body("unauthenticated"))
        else:
            await (await upgrade.accept("understudy.v1")).close(4401)

    def source() -> str:
        calls.append(1)
        return "stale"

    async with open_server(serve) as port:
        for token in (source, "stale"):
            async with open_client(f"ws://127.0.0.1:{port}/ws", token=token, reconnect=QUICK) as client:
                with trio.fail_after(60), pytest.raises(Unauthenticated if way == "handshake" else SocketClosed):
                    await anext(client)
    assert len(calls) == 2


async def test_a_source_that_fails_is_tried_again_and_one_that_hangs_is_left(autojump_clock: MockClock) -> None:
    """OSError and a timeout count as failed attempts, Unauthenticated ends the client, other errors propagate."""
    faults: list[Any] = [OSError("no way"), trio.TooSlowError(), "hang", None]

    async def source() -> str:
        fault = faults.pop(0)
        if fault == "hang":
            await trio.sleep_forever()
        elif fault is not None:
            raise fault
        return "token"

    with trio.fail_after(1000):
        async with talking(stay_after_welcome, token=source) as (client, _):
            assert await kinds(client, 1) == ["welcome"]
    assert faults == []

    for fault, error in ((Unauthenticated("unauthenticated"), Unauthenticated), ("hang", None)):
        faults[:] = [fault] * 10
        async with talking(stay_after_welcome, token=source) as (client, script):
            with trio.fail_after(1000), pytest.raises(error or SocketClosed):
                await anext(client)
        assert script.came == []

    faults[:] = [KeyError("a bug")]
    with pytest.raises(ExceptionGroup) as group:
        async with talking(stay_after_welcome, token=source) as (client, _):
            await anext(client)
    assert group.group_contains(KeyError)


@pytest.mark.parametrize("token", ["", "a b\n", "é", "a\r\nX-Admin: 1"])
async def test_a_malformed_token_is_not_sent(token: str) -> None:
    async with talking(stay_after_welcome, token=token) as (client, script):
        with trio.fail_after(60), pytest.raises(Unauthenticated):
            await anext(client)
    assert script.came == []


@pytest.mark.parametrize(
    "url",
    ["", "http://h/ws", "ws://", "ws://u:p@h/", "ws://h:0/", "ws://h:99999/", "ws://h/\n", "ws://h/ä", "ws://h/a b"],
)
async def test_a_malformed_address_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match=r"address|[Pp]ort"):
        async with open_client(url):
            pass


async def test_the_caller_s_own_error_is_passed_on_as_it_is() -> None:
    with pytest.raises(KeyError, match="mine"):
        async with open_client("ws://127.0.0.1:9/ws"):
            raise KeyError("mine")
