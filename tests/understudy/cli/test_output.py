"""Tables for a terminal and for a pipe, and a terminal client without the library that it is made with."""

import io
import sys

import pytest
from click.testing import CliRunner

from understudy.cli.main import main
from understudy.cli.output import print_table


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


ROWS = [["ok", "port", "8002 is free"], ["mend", "disk", "there are 12 MB left, which is room for no upload at all"]]


def test_a_pipe_gets_each_row_on_one_line() -> None:
    out = io.StringIO()
    print_table(ROWS, out, {"ok": "green"})
    assert out.getvalue() == "ok    port  8002 is free\nmend  disk  " + ROWS[1][2] + "\n"
    print_table([], out)


def test_a_terminal_wraps_the_last_column_below_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    out = Terminal()
    print_table(ROWS, out)
    assert out.getvalue().splitlines() == [
        "ok    port  8002 is free",
        "mend  disk  there are 12 MB left, which",
        "            is room for no upload at all",
    ]


def test_the_terminal_client_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [key for key in sys.modules if key.startswith(("rich.", "understudy.extensions.terminal.console"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rich", None)
    ended = CliRunner().invoke(main, ["chat", "--url", "http://127.0.0.1:1"])
    assert ended.exit_code == 2
    assert "pip install 'understudy-server[terminal]'" in ended.output
