"""The words after `/schedules`, and schedules as lines. `test_chat` has the command on a real server."""

import pytest

from understudy.cli.schedules import describe, read_schedule


@pytest.mark.parametrize(
    ("words", "made"),
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
def test_words_define_a_schedule(words: str, made: dict[str, object] | None) -> None:
    assert read_schedule(words) == made


def test_a_schedule_is_one_line_that_says_why_it_did_not_run() -> None:
    row = {"every_s": 5400, "message": "a\nb\x1b[2J", "agent": None, "enabled": False, "last": {"message": "Too late."}}
    assert describe(row).startswith("every 90m · default agent: a")
    assert describe(row).endswith("paused · last time: Too late.")
    assert not {"\n", "\x1b"} & set(describe(row))
