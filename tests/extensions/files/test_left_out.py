"""What a server without files says to those that come with one, and what its tools find."""

from typing import Any

import pytest

from tests.rigs.caller import Caller
from tests.rigs.http import new_token
from tests.rigs.scripted_model import Say, scripted
from transport.wire.errors import CommandRejected
from understudy.chat.user_files import UserFiles
from understudy.tools.errors import ToolError


async def test_nothing_is_found_and_nothing_stored() -> None:
    files = UserFiles("ann")
    assert (files.limit_bytes, await files.rows(["f"]), await files.cards(("f",)), await files.content("f")) == (
        0, [], (), None,
    )  # fmt: skip
    with pytest.raises(LookupError):
        await files.get("f")
    with pytest.raises(ToolError, match="takes no files"):
        await files.save("a.txt", "text/plain", b"a")
    with pytest.raises(CommandRejected, match="takes no files"):
        await files.check_room(1)


async def test_a_message_with_a_file_is_refused_with_a_sentence(serve: Any) -> None:
    running = await serve(scripted(Say("one")), extensions=["-files", "-shares"])
    ada = Caller(running, await new_token(running))
    answer = await ada.post("/api/runs", 404, message="go", agent="script", references=["0" * 32])
    assert answer["error"]["message"] == "This server takes no files."
    part = {"type": "input_file", "filename": "a.txt", "file_data": "data:text/plain;base64,YQ=="}
    request_body = {"model": "script", "input": [{"role": "user", "content": [part]}]}
    answer = await ada.post("/v1/responses", 403, **request_body)
    assert answer["error"]["message"] == "This server takes no files."
