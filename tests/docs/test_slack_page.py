"""The page on connecting Slack: its settings are taken, and its code sends a message."""

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import evolve

from tests.docs.served import served
from tests.docs.tables import DOCS
from understudy.app.settings import load

TEXT = (DOCS / "how-to/connect-slack.md").read_text()


def block(language: str) -> str:
    """Return the page's first block in a language."""
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)[0]


async def test_the_settings_are_taken_and_the_code_sends_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is posted nowhere here: the address of the page is Slack's."""
    for name, value in re.findall(r"\$ export (\w+)=(\S+)", block("console")):
        monkeypatch.setenv(name, value)
    (tmp_path / "understudy.toml").write_text(block("toml"))
    monkeypatch.chdir(tmp_path)
    (hook,) = load().hooks.values()
    assert (hook.name, hook.user, hook.agent, hook.token) == ("slack", "slack", "guide", "xoxb-1234")
    assert hook.reply_url == "https://slack.com/api/chat.postMessage"
    code: dict[str, Any] = {}
    exec(block("python"), code)
    with trio.fail_after(60):
        async with served(tmp_path / "data", hooks={"slack": evolve(hook, reply_url="")}) as running:
            url = f"{running.address}/api/hooks/slack"
            send = partial(code["send"], url, hook.secret, "What is 17 * 23?", "Ev1")
            said = json.loads(await trio.to_thread.run_sync(send))
            assert said["ok"]
            run = await running.store.run(said["run_id"])
            assert run is not None
            assert (run.owner, run.agent_type) == ("slack", "guide")
