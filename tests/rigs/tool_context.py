"""The context of a call of a tool."""

from pathlib import Path
from typing import Any

from tests.rigs.user_files import FilesOf, QuietServer
from understudy.tools.tool import ToolContext


def a_context(progress: Any = lambda done, total, note: None) -> ToolContext:
    """Return the context of a call, without files."""
    return ToolContext("ada", "thread", "run", "call", (), FilesOf({}, Path()), QuietServer(), progress)
