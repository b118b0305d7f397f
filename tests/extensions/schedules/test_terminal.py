"""The words after `/schedules`, schedules as lines, and the commands on a real server."""

from pathlib import Path
from typing import Any

import pytest

from tests.rigs.admin_command import lines
from tests.rigs.server_pair import SECRET
from tests.rigs.terminal_chat import talking
from understudy.extensions.schedules.terminal import describe, read_schedule


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("0 9 * * MON-FRI What is new?", {"cron": "0 9 * * MON-FRI", "message": "What is new?"}),
        ("@daily Europe/Berlin Go on", {"cron": "@daily", "time_zone": "Europe/Berlin", "message": "Go on"}),
        ("@daily and/or", {"cron": "@daily", "message": "and/or"}),
        ("every 30m Look", {"every_s": 1800, "message": "Look"}),
        ("every 2d", None),
        ("every now and then", None),
        ("every -5s x", None),
        ("0 9 * * *", None),
        ("", None),
    ],
)
def test_words_define_a_schedule(words: str, expected: dict[str, object] | None) -> None:
    assert read_schedule(words) == expected


def test_a_schedule_is_one_line_that_says_why_it_did_not_run() -> None:
    row = {"every_s": 5400, "message": "a\nb\x1b[2J", "agent": None, "enabled": False, "last": {"message": "Too late."}}
    assert describe(row).startswith("every 90m · default agent: a")
    assert describe(row).endswith("paused · last time: Too late.")
    assert not {"\n", "\x1b"} & set(describe(row))


async def test_schedules_are_made_listed_paused_and_deleted(house: Any) -> None:
    async with talking(await house()) as sitter:
        sitter.type("/schedules", "/schedules dance", "/schedules add 0 0 30 2 * Never", "/schedules pause 1")
        await sitter.notes.until("there are no schedules")
        await sitter.notes.until("✗ the server refused with 400")
        sitter.type("/schedules add 0 9 * * MON-FRI Europe/Berlin What is new?")
        await sitter.notes.until("scheduled: 0 9 * * MON-FRI (Europe/Berlin)")
        sitter.type("/schedules add every 30m Look", "/schedules pause 3", "/schedules pause 1")
        await sitter.notes.until("name one by its number, from 1 to 2")
        await sitter.notes.until("paused: 0 9 * * MON-FRI (Europe/Berlin) · guide: What is new? · paused")
        sitter.type("/schedules resume 1", "/schedules")
        await sitter.notes.until("1  0 9 * * MON-FRI (Europe/Berlin) · guide: What is new? · next 2")
        await sitter.enter("/schedules delete 1", "/schedules delete 1", "/schedules", told="deleted: 0 9")
        await sitter.notes.until("deleted: every 30m")
    assert "/schedules add every 30m TEXT" in sitter.notes.getvalue()
    assert sitter.notes.getvalue().count("there are no schedules") == 3  # at first, for the pause, and when deleted


async def test_operators_list_them(serve: Any, operators_folder: Path) -> None:
    running = await serve(secret=SECRET)
    assert await lines(running.address, "schedules") == ["none"]
