"""A user with files, for tools that read them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from understudy.tools import StoredFile, ToolContext


class FilesOf:
    """The files of a user, in a folder."""

    def __init__(self, files: dict[str, StoredFile], folder: Path) -> None:
        self.files = files
        self.folder = folder

    async def get(self, file_id: str) -> StoredFile:
        return self.files[file_id]

    async def save(self, name: str, media_type: str, content: bytes) -> StoredFile:
        path = self.folder / f"saved-{len(self.files)}"
        path.write_bytes(content)
        return self.files.setdefault(path.name, StoredFile(path.name, name, media_type, len(content), path))


class QuietServer:
    """A server in good health."""

    def health(self) -> dict[str, Any]:
        return {"status": "ok", "connections": 3, "uptime_s": 12.5, "ready": True}

    def tree(self) -> dict[str, Any]:
        def node(path: str, *children: dict[str, Any]) -> dict[str, Any]:
            return {"path": path, "type": "Thing", "state": "running", "restarts": 1, "children": list(children)}

        return node("/", node("/a", node("/a/b")), node("/c"))


@pytest.fixture
def attach(tmp_path: Path) -> Callable[..., ToolContext]:
    """`attach(name, content)` gives a context in which that file is attached as ``f``."""

    def attach(name: str = "none", content: str | bytes = b"", server: Any = None) -> ToolContext:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}[x].bin"
        body = content.encode() if isinstance(content, str) else content
        path.write_bytes(body)
        file = StoredFile("f", name, "text/csv", len(body), path)
        return ToolContext(
            "ada", "t", "r", "c", ("f",), FilesOf({"f": file}, tmp_path), server or QuietServer(), lambda *_: None
        )

    return attach
