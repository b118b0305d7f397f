"""The content of messages, in the forms in which clients and makers of models write it."""

from typing import Any

import pytest

from transport.wire.errors import CommandRejected
from understudy.chat.run_settings import CONTEXT_BYTES
from understudy.extensions.doors.message_content import FILE_ONLY, Content, NewFile, read_message

FILE_ID = "0123456789abcdef" * 2
BASE64, BYTES = "YSxiCjEsMgo=", b"a,b\n1,2\n"
URL = f"data:text/csv;base64,{BASE64}"

NAMED = {"name": "a"}

FILES: list[tuple[dict[str, Any], NewFile | str]] = [
    ({"type": "input_image", "image_url": f"data:image/png;base64,{BASE64}"}, NewFile("image.png", "image/png", BYTES)),
    ({"type": "image_url", "image_url": {"url": URL, "detail": "low"}}, NewFile("image.csv", "text/csv", BYTES)),
    ({"type": "input_file", "filename": "t.csv", "file_data": URL}, NewFile("t.csv", "text/csv", BYTES)),
    ({"type": "file", "file": {"filename": "t.csv", "file_data": URL}}, NewFile("t.csv", "text/csv", BYTES)),
    ({"type": "file", "file": {"file_id": FILE_ID}}, FILE_ID),
    ({"type": "input_file", "file_id": FILE_ID}, FILE_ID),
    ({"type": "input_audio", "input_audio": {"data": BASE64, "format": "x"}}, NewFile("audio.x", "audio/x", BYTES)),
    ({"type": "video_url", "video_url": {"url": "data:video/mp4,a%20b"}}, NewFile("video.mp4", "video/mp4", b"a b")),
    (
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": BASE64}},
        NewFile("image.png", "image/png", BYTES),
    ),
    (
        {"type": "document", "title": "t.txt", "source": {"type": "text", "media_type": "text/plain", "data": "a: b"}},
        NewFile("t.txt", "text/plain", b"a: b"),
    ),
    ({"type": "document", "source": {"type": "file", "file_id": FILE_ID}}, FILE_ID),
    (
        {"type": "image", "source": {"type": "data", "value": BASE64, "mimeType": "image/png"}, "metadata": NAMED},
        NewFile("a", "image/png", BYTES),
    ),
    ({"inline_data": {"mime_type": "image/png", "data": BASE64}}, NewFile("inline_data.png", "image/png", BYTES)),
    ({"inlineData": {"mimeType": "text/csv", "data": BASE64}}, NewFile("inline_data.csv", "text/csv", BYTES)),
    ({"image": {"format": "png", "source": {"bytes": BASE64}}}, NewFile("image.png", "image/png", BYTES)),
    ({"document": {"format": "csv", "name": "t", "source": {"bytes": BASE64}}}, NewFile("t", "text/csv", BYTES)),
    ({"type": "image", "source": {"type": "file", "value": FILE_ID}}, FILE_ID),
    ({"type": "image", "source": {"type": "url", "value": f"https://here.example/api/files/{FILE_ID}"}}, FILE_ID),
    ({"type": "file", "mediaType": "text/csv", "filename": "t.csv", "url": URL}, NewFile("t.csv", "text/csv", BYTES)),
]  # fmt: skip


@pytest.mark.parametrize(("part", "file"), FILES)
def test_a_file_is_read_in_the_form_of_each_maker(part: dict[str, Any], file: NewFile | str) -> None:
    assert Content.read("content", [part]) == Content(files=[file])


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "http://10.0.0.1/a.png"}},
        {"type": "file", "file": {"file_id": "file-of-another-server"}},
        {"type": "image", "source": {"type": "file", "value": FILE_ID, "provider": "openai"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "no base64!"}},
        {"type": "file", "mediaType": "text/csv", "url": "data:text/csv;base64,no base64!"},
        {"fileData": {"mimeType": "image/png", "fileUri": "gs://bucket/a.png"}},
    ],
)
def test_a_file_that_cannot_be_taken_is_refused_by_its_place(part: dict[str, Any]) -> None:
    refused = Content.read("content", ["see", part]).refused
    assert str(refused).find("content[1]") >= 0
    with pytest.raises(CommandRejected):
        read_message("content", ["see", part], {}, None, {})


def test_what_is_not_known_is_named_and_the_rest_is_read() -> None:
    call = {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Rome"}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "sunny"}
    known = [{"type": name, "text": "hm"} for name in ("reasoning", "thinking", "step-start", "source-url")]
    parts = [
        "a", None, 7, {"type": "output_text", "text": "b"}, {"type": "refusal", "refusal": "c"}, call, result,
        *known
    ]  # fmt: skip
    read = Content.read(
        "content", [*parts, {"type": "hologram"}, {"type": "tool-weather", "state": "input-streaming"}, {}]
    )
    assert (read.text, read.left_out) == ("a\nb\nc", ["NoneType", "int", "hologram", "tool-weather", "part"])
    assert (read.calls[0]["id"], read.results) == ("t1", [("t1", "sunny")])
    assert Content.read("content", None) == Content()
    assert Content.read("content", {"type": "text", "text": "x"}).text == "x"


def test_a_message_has_its_data_parts_as_context_and_names_what_was_left_out() -> None:
    large = {"type": "data-large", "data": "x" * CONTEXT_BYTES}
    parts = [{"type": "data-page", "data": {"open": 1}}, large, {"type": "hologram"}, {"type": "text", "text": "hi"}]
    say, files = read_message("parts", parts, {"context": {"own": 1}, "thread_id": "t"}, None, {})
    assert (say.content, say.thread_id, files) == ("hi", "t", ())
    assert say.context == {"own": 1, "data-page": {"open": 1}, "left_out": ["hologram", "data-large"]}
    say, files = read_message(
        "parts", [{"type": "file", "url": URL}, {"type": "file", "file_id": FILE_ID}], {}, None, {}
    )
    assert (say.content, say.references, [file.content for file in files]) == (FILE_ONLY, (FILE_ID,), [BYTES])
    rows = [{"type": "data-row", "id": str(n), "data": {"row": n}} for n in (1, 2)]
    say, _ = read_message("parts", rows, {}, None, {})
    assert (say.content, say.context) == ('{"row": 1}\n{"row": 2}', {"data-row": [{"row": 1}, {"row": 2}]})
    with pytest.raises(CommandRejected, match="hologram"):
        read_message("parts", [{"type": "hologram"}], {}, None, {})
