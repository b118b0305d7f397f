"""One processor chain for every logger; private values are redacted."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from understudy.observe.logs import configure_logging, log_context, new_error_id
from understudy.observe.redaction import REDACTED, VALUE_MAX, is_private, redact_text

JWT = ".".join(("ey" + "J" + "hbGciOiJIUzI1NiJ9", "ey" + "J" + "zdWIiOiJhIn0xyz", "c2lnbmF0dXJl"))


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Collect JSON log lines during the test; restore the process's logging afterwards."""
    root = logging.getLogger()
    level = root.level
    out = io.StringIO()
    handler = configure_logging("debug", "json", out)
    yield out
    root.removeHandler(handler)
    root.setLevel(level)
    structlog.reset_defaults()


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    """Return the lines, without their times."""
    found = [json.loads(line) for line in out.getvalue().splitlines()]
    assert all(line.pop("timestamp").endswith("Z") for line in found)
    return found


def test_a_line_is_an_event_and_key_values(log: io.StringIO) -> None:
    structlog.get_logger("understudy.run").info("run.finished", run_id="r1", duration_ms=12.5)
    assert lines(log) == [
        {"level": "info", "event": "run.finished", "logger": "understudy.run", "run_id": "r1", "duration_ms": 12.5}
    ]


def test_standard_loggers_take_the_same_way(log: io.StringIO) -> None:
    """With their arguments formatted and their extra as key-values."""
    extra = {"path": "/api/ws/guide", "token": "x"}
    logging.getLogger("transport.server.listener").warning("endpoint.deprecated", extra=extra)
    logging.getLogger("hypercorn.error").warning("Running on %s", "port 0")
    assert lines(log) == [
        {"level": "warning", "event": "endpoint.deprecated", "logger": "transport.server.listener",
         "path": "/api/ws/guide", "token": REDACTED},
        {"level": "warning", "event": "Running on port 0", "logger": "hypercorn.error"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name", ["token", "session_token", "Authorization", "Set-Cookie", "content", "text", "user_password"]
)
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_private_names_lose_their_values(log: io.StringIO, name: str, depth: int) -> None:
    """At any depth, in both kinds of loggers."""
    value: Any = "my private words"
    for _ in range(depth):
        value = {"inner": [{name: value}]}
    fields = {name: value} if depth == 0 else {"data": value}
    structlog.get_logger("a").info("x", **fields)
    logging.getLogger("b").info("x", extra=fields)
    assert "private words" not in log.getvalue()
    assert log.getvalue().count(REDACTED) == 2


@pytest.mark.parametrize(
    "text",
    [f"got {JWT}", f"GET /ws?session_token={JWT}", "GET /ws?x=1&token=opaque123 HTTP/1.1", "jwt.b3BhcXVlMTIz offered"],
)
def test_tokens_in_texts_are_taken_out(log: io.StringIO, text: str) -> None:
    """In event names, values, and messages of other libraries."""
    structlog.get_logger("a").info(text, note=text)
    logging.getLogger("b").info("%s", text)
    for secret in (JWT, "opaque123", "b3BhcXVlMTIz"):
        assert secret not in log.getvalue()


def test_a_crash_has_its_traceback_without_the_secret(log: io.StringIO) -> None:
    """The error's own text is redacted too."""
    try:
        raise ValueError(f"cannot read {JWT}")
    except ValueError:
        structlog.get_logger("a").exception("oops", error_id="e1")
        logging.getLogger("b").exception("oops")
    for line in lines(log):
        assert "Traceback" in line["exception"]
        assert "ValueError: cannot read [redacted]" in line["exception"]


def test_log_lines_cannot_drive_a_terminal() -> None:
    """Escape sequences in values are removed, and values are bounded."""
    assert redact_text("a\x1b[2Jb") == "ab"
    long = redact_text("word " * VALUE_MAX)
    assert len(long) < VALUE_MAX + 50
    assert long.endswith("more characters)")


def test_ids_follow_a_task(log: io.StringIO) -> None:
    """Lines inside the block carry the ids, lines after it do not."""
    with log_context(thread_id="t1", run_id="r1"):
        structlog.get_logger("a").info("inside")
        logging.getLogger("b").info("inside")
    structlog.get_logger("a").info("outside")
    inside, other, outside = lines(log)
    assert (inside["thread_id"], inside["run_id"], other["run_id"]) == ("t1", "r1", "r1")
    assert "run_id" not in outside


def test_the_level_holds_for_all_loggers(log: io.StringIO) -> None:
    """Lines below the level are not written."""
    configure_logging("warning", "json", log)
    structlog.get_logger("a").info("x")
    logging.getLogger("b").info("x")
    assert log.getvalue() == ""


def test_configuring_again_replaces_the_former(log: io.StringIO) -> None:
    """Each line is written once."""
    configure_logging("info", "json", log)
    logging.getLogger("b").info("x")
    assert len(lines(log)) == 1


def test_a_terminal_gets_a_readable_form(log: io.StringIO) -> None:
    """No JSON, the same redaction."""
    configure_logging("info", "console", log)
    structlog.get_logger("a").info("run.finished", run_id="r1", content="private words")
    assert "run.finished" in log.getvalue()
    assert "run_id=r1" in log.getvalue()
    assert "private words" not in log.getvalue()
    assert not log.getvalue().startswith("{")


@pytest.mark.parametrize(("level", "form"), [("loud", "json"), ("info", "xml")])
def test_unknown_settings_are_refused(level: str, form: str) -> None:
    """The message names them."""
    with pytest.raises(ValueError, match=r"loud|xml"):
        configure_logging(level, form)


def test_error_ids_are_unique_and_short() -> None:
    """A user can read one out."""
    assert len({new_error_id() for _ in range(1000)}) == 1000
    assert len(new_error_id()) == 16


def test_counts_of_tokens_are_not_private() -> None:
    """Only the tokens themselves are."""
    assert not is_private("input_tokens")
    assert not is_private("thread_id")
    assert is_private("refresh_token")
