"""The events of runs in the log, by which an operator follows a delivery."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.chat_client import connected
from tests.end_to_end.process import started

QUESTION, ANSWER = "What is 17 * 2300051?", "39100867"


@pytest.mark.parametrize("share", ["1", "0"])
async def test_each_event_of_a_sampled_run_is_a_line(tmp_path: Path, share: str) -> None:
    """Every event that the client was sent, in order, without a text; none by default."""
    environment = {"UNDERSTUDY_LOG_LEVEL": "debug", "UNDERSTUDY_LOG_FORMAT": "json", "UNDERSTUDY_LOG_EVENTS": share}
    async with (
        started(tmp_path / "data", log=tmp_path / "log", **environment) as server,
        connected(server.address) as client,
    ):
        await client.say(QUESTION, thread_id="my-thread")
        await client.until_end()
    lines: list[dict[str, Any]] = [
        json.loads(line) for line in (tmp_path / "log").read_text().splitlines() if "run.event" in line
    ]
    if share == "0":
        assert lines == []
        return
    sent = [(event["type"], event["seq"]) for event in client.durable()]
    assert [(line["type"], line["seq"]) for line in lines if line["seq"] is not None] == sent
    assert {line["level"] for line in lines} == {"debug"}
    assert len({line["run_id"] for line in lines}) == 1
    assert "my-thread" not in str(lines)
    assert ANSWER in client.seen[-1]["data"]["message"].replace(",", "")
    assert ANSWER not in str(lines)
