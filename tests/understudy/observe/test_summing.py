"""Log lines of one kind and peer: the first at once, then one a minute with the number of the others."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from understudy.observe import summing
from understudy.observe.logs import configure_logging
from understudy.observe.summing import MAX_GROUPS

BEGAN = 1_000_000.0


class Log:
    """Writes lines at given times, and reads the output."""

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
def log() -> Iterator[Log]:
    """The log of a server; the process's logging is restored afterwards."""
    root, out = logging.getLogger(), io.StringIO()
    level = root.level
    handler = configure_logging("info", "json", out)
    yield Log(out, handler)
    root.removeHandler(handler)
    root.setLevel(level)
    structlog.reset_defaults()


def test_refusals_of_one_client_are_summed_up(log: Log) -> None:
    """Six thousand lines a minute become one line at once, and one a minute."""
    for number in range(12_000):
        log.write("request.refused", number / 100, code="rate_limited", peer="a", error_id=str(number))
    log.write("server.other", 121)
    written = log.lines()
    assert written[0] == ("request.refused", "a", None)
    assert [each[0] for each in written] == ["request.refused"] * 3 + ["server.other"]
    assert sum(each[2] or 0 for each in written) + 1 == 12_000


def test_another_peer_or_code_has_lines_of_its_own(log: Log) -> None:
    for peer, code in (("a", "rate_limited"), ("a", "rate_limited"), ("b", "rate_limited"), ("a", "not_found")):
        log.write("request.refused", code=code, peer=peer)
    assert log.lines() == [
        ("request.refused", "a", None),
        ("request.refused", "b", None),
        ("request.refused", "a", None),
    ]


def test_pending_sums_are_written_when_logging_ends(log: Log) -> None:
    """The sum is written although no further line comes."""
    for _ in range(5):
        log.write("handshake.refused", code="forbidden", peer="a")
    log.handler.close()
    assert log.lines() == [("handshake.refused", "a", None), ("handshake.refused", "a", 4)]


def test_after_a_quiet_minute_a_line_comes_at_once_again(log: Log) -> None:
    for after_s in (0, 100, 101, 200, 201, 270):
        log.write("command.refused", after_s, code="busy")
    assert [each[2] for each in log.lines()] == [None, None, 1, 2]


def test_clients_that_come_and_go_have_a_line_each_until_they_are_many(log: Log) -> None:
    for _ in range(100):
        log.write("connection.opened", peer="a")
    assert len(log.lines()) == 60


def test_errors_and_other_events_are_never_summed_up(log: Log) -> None:
    """Each of them may be the one that matters."""
    for _ in range(50):
        log.write("rest.request_failed", level=logging.ERROR)
        log.write("run.closing")
        log.write("request.refused", level=logging.ERROR, code="x", peer="a")
    assert len(log.lines()) == 150


def test_a_flood_of_peers_is_bounded(log: Log) -> None:
    for number in range(MAX_GROUPS + 500):
        log.write("request.refused", code="x", peer=f"{number}")
    (filter_,) = [each for each in log.handler.filters if isinstance(each, summing.SummaryFilter)]
    assert len(filter_._minutes) <= MAX_GROUPS + 1
