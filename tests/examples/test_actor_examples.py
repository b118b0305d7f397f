"""The examples of the actor runtime: killed actors restart, and no message is lost."""

import re
import subprocess
import sys
from itertools import pairwise

import pytest
import trio

from actors import TreeNode
from actors.behaviours.breaker import BreakerStatistics
from examples import chat_room, crawler, device_gateway, job_queue
from tests.rigs.doc_tables import ROOT

LIMIT_S = 120
"""Timeout of one example, for a loaded machine; examples take one or two seconds."""


@pytest.mark.promise("names.taken", "peers.restart-gap")
async def test_no_member_of_the_chat_room_misses_a_line_when_it_is_killed() -> None:
    """A taken name is refused and a slow reader dropped; the others get every line, from both incarnations of
    the room.
    """
    with trio.fail_after(LIMIT_S):
        told = await chat_room.main()
    assert told["refused"] == "! ann is taken, choose another name"
    assert told["dropped"] == "crashed: TooSlowError"
    assert told["counts"] == dict.fromkeys(("ann", "bob", "cid"), 300)
    tree = told["tree"]
    assert isinstance(tree, TreeNode)
    room, members = tree.children
    assert (room.restarts, members.restarts) == (1, 0)
    assert [member.restarts for member in members.children] == [0, 0, 0]


@pytest.mark.promise("restart.poison", "peers.restart-gap")
async def test_every_order_in_the_job_queue_is_answered_though_workers_die() -> None:
    """Killed during the job, retried, timed out, failing, poison: each order has its outcome."""
    with trio.fail_after(LIMIT_S):
        done = await job_queue.main()
    ends = {name: (outcome.text, outcome.attempts) for name, outcome in done.items()}
    assert ends == {
        "bind": ("done: bound in cloth", 1),
        "call": ("done: call number 3 came through", 3),
        "godot": ("JobTimedOut", 1),
        "sign": ("JobFailed", 1),
        "copy/may": ("set aside", 3),
        "copy": ("done: three copies", 1),
    }
    assert done["sign"].errors == ("ValueError('this form has no place for a signature')",)
    assert len(done["copy/may"].errors) == 3
    assert all(error.startswith("InvalidSpec: id") for error in done["copy/may"].errors)


@pytest.mark.promise("peers.ask-after-crash", "stop.reverse-order")
async def test_the_crawler_finds_every_page_at_the_rate_of_each_host() -> None:
    """Found: the page whose fetcher was killed, one that failed at first, and those of a site that was down."""
    with trio.fail_after(LIMIT_S):
        told = await crawler.main()
    found, asked_at, down, ended = told["found"], told["asked_at"], told["down"], told["ended"]
    assert isinstance(found, dict)
    pages = {re.sub(r"http://[^/]+", "", url): tuple(map(int, re.findall(r"\d+", end))) for url, end in found.items()}
    assert {path: status for path, (status, _) in pages.items()} == {
        **dict.fromkeys(("/", "/slow", "/flaky", "/end", "/1", "/2", "/3", "/4"), 200),
        "/missing": 404,
    }
    assert all(pages[path][1] >= 2 for path in ("/slow", "/flaky"))  # they were retried
    assert isinstance(down, BreakerStatistics)
    assert down.refused > 0  # the breaker refused requests to the site that was down
    assert isinstance(asked_at, list)
    gaps_s = [later - earlier for earlier, later in pairwise(asked_at)]
    assert len(gaps_s) > 5
    assert sum(gap_s < 0.5 / crawler.RATE.per_s for gap_s in gaps_s) <= 1  # a late request may be close to the next one
    assert isinstance(ended, list)
    ended = [path for path in ended if "job" not in path]
    assert sorted(ended[:4]) == [f"/crawler/fetchers/fetcher-{number}" for number in (1, 2, 3, 4)]
    assert ended[4:] == ["/crawler/fetchers", "/crawler/throttle", "/crawler"]


@pytest.mark.proof("timing")
@pytest.mark.promise("bitten.three-stops", "restart.dynamic-template")
async def test_the_gateway_has_the_newest_reading_of_each_sensor(capsys: pytest.CaptureFixture[str]) -> None:
    with trio.fail_after(LIMIT_S):
        told = await device_gateway.main()
    sensors = [f"{device}.{sensor}" for device in ("boiler", "cellar", "roof") for sensor in ("flow", "heat")]
    assert told["report"] == dict.fromkeys(sensors, device_gateway.LAST)
    assert isinstance(told["replaced"], int)
    assert told["replaced"] > 20
    alarm, back = "alarm: /gateway/devices/cellar is silent", "/gateway/devices/cellar is back"
    assert re.search(f"{alarm}\n(.*\n)*{back}\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("example", "story", "crashes"),
    [
        (
            "chat_room",
            [
                r"dave would like to be ann, and hears: ! ann is taken, choose another name\n",
                r"dave read nothing, and was dropped: crashed: TooSlowError\n",
                r"the room was killed in the midst of 300 lines, and the others heard .*'bob': 300",
                r"room \(Topic\) running, .*1 restarts\n",
            ],
            ["killed path=/chat/room decision=restart"],
        ),
        (
            "job_queue",
            [
                r"killed while it was binding: /office/workers/worker-1\n",
                r"bind: done: bound in cloth, attempts: 1\n",
                r"call: done: call number 3 came through, attempts: 3\n",
                r"copy/may: set aside, attempts: 3\n    InvalidSpec: .*\n    InvalidSpec: .*\n    InvalidSpec: ",
                r"incarnation 1 ended, killed, at work on Order; decision: back off 0.0\d+ s\n",
            ],
            ["crashed path=/office/workers/worker-2 decision=back_off"],
        ),
        (
            "crawler",
            [
                r"/missing 404, at attempt \d",
                r"/slow 200, at attempt [2-9]",
                r"fetcher-4 \(Fetcher\) running, .*1 restarts\n",
                r"nothing was left to fetch, and this was the end: .*/crawler/fetchers /crawler/throttle /crawler\n",
            ],
            ["killed path=/crawler/fetchers/fetcher-1 decision=back_off"],
        ),
        (
            "device_gateway",
            [
                r"alarm: /gateway/devices/cellar is silent\n",
                r"roof \(Device\) running, .*1 restarts\n",
                r"/gateway/devices/roof ended: normal\n",
                r"\d+ readings were replaced by newer ones, and on the disk is .*'roof.heat': 40",
            ],
            ["killed path=/gateway/devices/roof decision=restart"],
        ),
    ],
)
def test_the_story_is_printed(example: str, story: list[str], crashes: list[str]) -> None:
    """Run as its first lines say, the example ends by itself, prints its story and warns of nothing."""
    done = subprocess.run(
        [sys.executable, "-W", "error", f"examples/{example}.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stderr
    assert [line for line in story if not re.search(line, done.stdout)] == []
    logged = re.sub(r" type=\S+", "", done.stderr)
    assert [crash for crash in crashes if f"actor.{crash}" not in logged] == []
    assert "Exception ignored" not in done.stderr
