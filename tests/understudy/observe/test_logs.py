"""One processor chain for every logger: private values are redacted, and floods of lines are summed up."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import structlog

from understudy.observe.logs import MAX_GROUPS, SummingHandler, configure_logging, new_error_id
from understudy.observe.redaction import REDACTED, VALUE_MAX, is_private, redact_text

JWT = ".".join(("ey" + "J" + "hbGciOiJIUzI1NiJ9", "ey" + "J" + "zdWIiOiJhIn0xyz", "c2lnbmF0dXJl"))


@contextmanager
def configured(level: str) -> Iterator[tuple[io.StringIO, logging.Handler]]:
    """Collect JSON log lines during the block; restore the process's logging afterwards."""
    root, out = logging.getLogger(), io.StringIO()
    level_before, handler = root.level, configure_logging(level, "json", out)
    yield out, handler
    root.removeHandler(handler)
    root.setLevel(level_before)
    structlog.reset_defaults()


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    with configured("debug") as (out, _):
        yield out


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    written = [json.loads(line) for line in out.getvalue().splitlines()]
    assert all(line.pop("timestamp").endswith("Z") for line in written)
    return written


def test_a_line_is_an_event_and_key_values(log: io.StringIO) -> None:
    structlog.get_logger("understudy.run").info("run.finished", run_id="r1", duration_ms=12.5)
    assert lines(log) == [
        {"level": "info", "event": "run.finished", "logger": "understudy.run", "run_id": "r1", "duration_ms": 12.5}
    ]


def test_standard_loggers_take_the_same_way(log: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    servers = logging.getLogger("hypercorn.error")  # a server of another test in this process may have set it up
    for name, value in (("propagate", True), ("disabled", False), ("level", logging.NOTSET), ("handlers", [])):
        monkeypatch.setattr(servers, name, value)
    servers.manager._clear_cache()  # type: ignore[attr-defined]
    extra = {"path": "/api/ws/agent", "token": "x"}
    logging.getLogger("transport.server.listener").warning("handshake.refused", extra=extra)
    servers.warning("Running on %s", "port 0")
    assert lines(log) == [
        {"level": "warning", "event": "handshake.refused", "logger": "transport.server.listener",
         "path": "/api/ws/agent", "token": REDACTED},
        {"level": "warning", "event": "Running on port 0", "logger": "hypercorn.error"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name", ["token", "session_token", "Authorization", "Set-Cookie", "content", "text", "user_password"]
)
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_private_names_lose_their_values(log: io.StringIO, name: str, depth: int) -> None:
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
    structlog.get_logger("a").info(text, note=text)
    logging.getLogger("b").info("%s", text)
    for secret in (JWT, "opaque123", "b3BhcXVlMTIz"):
        assert secret not in log.getvalue()


def test_a_crash_has_its_traceback_without_the_secret(log: io.StringIO) -> None:
    try:
        raise ValueError(f"cannot read {JWT}")
    except ValueError:
        structlog.get_logger("a").exception("oops", error_id="e1")
        logging.getLogger("b").exception("oops")
    for line in lines(log):
        assert "Traceback" in line["exception"]
        assert "ValueError: cannot read [redacted]" in line["exception"]


def test_log_lines_cannot_drive_a_terminal() -> None:
    assert redact_text("a\x1b[2Jb") == "ab"
    long = redact_text("word " * VALUE_MAX)
    assert len(long) < VALUE_MAX + 50
    assert long.endswith("more characters)")


def test_ids_follow_a_task(log: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(thread_id="t1", run_id="r1"):
        structlog.get_logger("a").info("inside")
        logging.getLogger("b").info("inside")
    structlog.get_logger("a").info("outside")
    inside, other, outside = lines(log)
    assert (inside["thread_id"], inside["run_id"], other["run_id"]) == ("t1", "r1", "r1")
    assert "run_id" not in outside


def test_the_level_holds_for_all_loggers(log: io.StringIO) -> None:
    configure_logging("warning", "json", log)
    structlog.get_logger("a").info("x")
    logging.getLogger("b").info("x")
    assert log.getvalue() == ""


def test_configuring_again_replaces_the_former(log: io.StringIO) -> None:
    configure_logging("info", "json", log)
    logging.getLogger("b").info("x")
    assert len(lines(log)) == 1


def test_a_terminal_gets_a_readable_form(log: io.StringIO) -> None:
    configure_logging("info", "console", log)
    structlog.get_logger("a").info("run.finished", run_id="r1", content="private words")
    assert "run.finished" in log.getvalue()
    assert "run_id=r1" in log.getvalue()
    assert "private words" not in log.getvalue()
    assert not log.getvalue().startswith("{")


@pytest.mark.parametrize(("level", "form"), [("loud", "json"), ("info", "xml")])
def test_unknown_settings_are_refused(level: str, form: str) -> None:
    with pytest.raises(ValueError, match=r"loud|xml"):
        configure_logging(level, form)


def test_error_ids_are_unique_and_short() -> None:
    assert {len(new_error_id()) for _ in range(1000)} == {16}
    assert len({new_error_id() for _ in range(1000)}) == 1000


def test_counts_of_tokens_are_not_private() -> None:
    assert [is_private(name) for name in ("input_tokens", "thread_id", "refresh_token")] == [False, False, True]


BEGAN = 1_000_000.0


class Log:
    def __init__(self, out: io.StringIO, handler: logging.Handler) -> None:
        self.out = out
        self.handler = handler

    def write(self, event: str, after_s: float = 0.0, level: int = logging.INFO, **fields: Any) -> None:
        """Have a line written that was made this long after the first."""
        record = {"name": "t", "msg": event, "levelno": level, "levelname": logging.getLevelName(level)}
        self.handler.handle(logging.makeLogRecord({**record, "created": BEGAN + after_s, **fields}))

    def lines(self) -> list[tuple[str, str | None, int | None]]:
        """Return the lines written since the last call: the event, the peer, and the number of summed-up lines."""
        written = [json.loads(line) for line in self.out.getvalue().splitlines()]
        self.out.truncate(0)
        self.out.seek(0)
        return [(line["event"], line.get("peer"), line.get("summed_up")) for line in written]


@pytest.fixture
def summed() -> Iterator[Log]:
    """The log of a server."""
    with configured("info") as (out, handler):
        yield Log(out, handler)


def test_refusals_of_one_client_are_summed_up(summed: Log) -> None:
    for number in range(12_000):
        summed.write("request.refused", number / 100, code="rate_limited", peer="a", error_id=str(number))
    summed.write("server.other", 121)
    written = summed.lines()
    assert written[0] == ("request.refused", "a", None)
    assert [line[0] for line in written] == ["request.refused"] * 3 + ["server.other"]
    assert sum(line[2] or 0 for line in written) + 1 == 12_000


def test_another_peer_or_code_has_lines_of_its_own(summed: Log) -> None:
    for peer, code in (("a", "rate_limited"), ("a", "rate_limited"), ("b", "rate_limited"), ("a", "not_found")):
        summed.write("request.refused", code=code, peer=peer)
    peers = [("request.refused", peer, None) for peer in "aba"]
    assert summed.lines() == peers


def test_pending_sums_are_written_when_logging_ends(summed: Log) -> None:
    for _ in range(5):
        summed.write("handshake.refused", code="forbidden", peer="a")
    summed.handler.close()
    assert summed.lines() == [("handshake.refused", "a", None), ("handshake.refused", "a", 4)]


def test_after_a_quiet_minute_a_line_comes_at_once_again(summed: Log) -> None:
    for after_s in (0, 100, 101, 200, 201, 270):
        summed.write("command.refused", after_s, code="busy")
    assert [line[2] for line in summed.lines()] == [None, None, 1, 2]


def test_clients_that_come_and_go_have_a_line_each_until_they_are_many(summed: Log) -> None:
    for _ in range(100):
        summed.write("connection.opened", peer="a")
    assert len(summed.lines()) == 60


def test_errors_and_other_events_are_never_summed_up(summed: Log) -> None:
    for _ in range(50):
        summed.write("request.failed", level=logging.ERROR)
        summed.write("run.closing")
        summed.write("request.refused", level=logging.ERROR, code="x", peer="a")
    assert len(summed.lines()) == 150


def test_a_flood_of_peers_is_bounded(summed: Log) -> None:
    for number in range(MAX_GROUPS + 500):
        summed.write("request.refused", code="x", peer=f"{number}")
    assert isinstance(summed.handler, SummingHandler)
    assert len(summed.handler._groups) <= MAX_GROUPS + 1
