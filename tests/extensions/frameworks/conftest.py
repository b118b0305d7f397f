"""A fixture for agents that follow the script of `langgraph_agent`."""

from pathlib import Path

import pytest

from tests.extensions.frameworks.notes import CALLS


@pytest.fixture(autouse=True)
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CALLS, str(tmp_path / "calls"))
    (tmp_path / "calls").touch()
    return tmp_path / "calls"
