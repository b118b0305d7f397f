"""The chat room of examples/room.py, over real sockets, and the page that explains it."""

import re
from functools import partial

import pytest
import trio

from actors import ChildSpec, Supervisor, open_system
from examples import room as example
from tests.rigs.doc_tables import DOCS, ROOT
from transport.server.listener import serve

PAGE = (DOCS / "how-to" / "embed-a-chat-server.md").read_text()


async def test_nothing_is_lost_or_doubled_by_cuts_and_a_stalled_network(capsys: pytest.CaptureFixture[str]) -> None:
    with trio.fail_after(120):
        done = await example.main()
    expected = [f"bob: {block}.{number} " for block in range(5) for number in range(80)]
    assert [line[: line.rindex(" ") + 1] for line in done["said"] if "." in line] == expected
    assert done["heard"] == {"ann": done["said"], "bob": done["said"]}
    assert done["connections"] > 5
    bound = example.LIMITS.outbox.queue_bytes
    assert bound / 2 < done["most"] < 2 * bound
    printed, shown = (re.sub(r"[\d,]+ (bytes|times)", "", text) for text in (capsys.readouterr().out, PAGE))
    assert f"```text\n{printed}```" in shown


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/ws", "Authorization: Bearer a-token", 101),
        ("/ws", "Accept: */*", 401),
        ("/ws", "Authorization: Bearer b-token", 401),
        ("/ws", "Authorization: Bearer a-token\r\nOrigin: https://evil.example", 403),
        ("/elsewhere", "Authorization: Bearer a-token", 404),
    ],
)
async def test_members_alone_are_admitted(path: str, headers: str, status: int) -> None:
    async with open_system("chat", [ChildSpec("connections", partial(Supervisor, []))]) as system:
        room = example.Room({"a-token": "ann"}, system.get("/chat/connections"))
        async with trio.open_nursery() as nursery:
            (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            await nursery.start(partial(serve, [listener], asgi_app=example.not_found, upgrade_handler=room))
            async with await trio.open_tcp_stream(*listener.socket.getsockname()) as stream:
                upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13"
                key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
                head = f"GET {path} HTTP/1.1\r\nHost: chat.example\r\n{upgrade}\r\n{key}\r\n{headers}\r\n\r\n"
                await stream.send_all(head.encode())
                answer = await stream.receive_some()
            nursery.cancel_scope.cancel()
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())


def test_the_page_shows_the_example_which_uses_nothing_of_the_product() -> None:
    program = (ROOT / "examples" / "room.py").read_text()
    assert "understudy" not in program
    blocks = re.findall(r"```python title=\"examples/room.py\"\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 8
    assert [block for block in blocks if block not in program] == []
