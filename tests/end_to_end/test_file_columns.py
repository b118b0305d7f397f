"""What a model is told of the columns of an attached table."""

from typing import Any

import pytest

from tests.end_to_end.chat_client import connected
from tests.end_to_end.http import multipart, new_token, request
from tests.end_to_end.scripted_model import Say
from tests.end_to_end.test_scrubbing import Witness

HEADS = "Umsatz €;Größe\n1;2\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
async def test_columns_are_named_as_their_writer_wrote_them(serve: Any, encoding: str) -> None:
    model = Witness((Say("Seen."),))
    running = await serve(model.agent())
    token = await new_token(running)
    body, kind = multipart("sales.csv", HEADS.encode(encoding))
    _, _, file = await request(running.address, "POST", "/api/files", token=token, body=body, content_type=kind)
    async with connected(running.address, token) as client:
        await client.say("go", agent_type="script", references=[file["id"]])
        await client.until_end()
    (card,) = model.asked[0].files
    assert card.columns == ("Umsatz €", "Größe")
