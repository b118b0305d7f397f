"""Filtered files, in which all bytes but secrets stay, however the file is cut; and the loading of policies."""

import random
import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from sanitization import STANDARD, Action, Category, Direction, Policy, Sanitizer, StreamSanitizer
from transport.wire.errors import CommandRejected
from understudy.content import filter as module
from understudy.content.filter import ContentFilter, FileFilter, InvalidPolicy, is_text, load_policy
from understudy.observe.metrics import Metrics

SECRET = b"ghp_" + b"a1B2c3D4" * 4 + b"e5F6"
SANITIZER = Sanitizer(Policy(inbound={Category.SECRET: Action.REMOVE}), Direction.INBOUND)


async def test_a_text_scanned_on_its_way_in_is_not_scanned_on_its_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line of a tool, repeated by the answer that is stored. What has a find is scanned and redacted each time."""
    scanned: list[str] = []
    feed = StreamSanitizer.feed

    def counting(stream: StreamSanitizer, chunk: str, *, last: bool = False) -> str:
        scanned.append(chunk)
        return feed(stream, chunk, last=last)

    content_filter = ContentFilter(STANDARD, Metrics().findings)
    monkeypatch.setattr(StreamSanitizer, "feed", counting)
    line, text = "15% of 80 = 12", f"the key is {SECRET.decode()}"
    await content_filter.filter_result({"result": 12}, line)
    assert line in scanned
    scanned.clear()
    assert await content_filter.filter_for_storage(line) == line
    assert scanned == []
    for _ in range(2):
        assert await content_filter.filter_for_storage(text) == "the key is [redacted]"
    assert scanned.count(text) >= 2


async def test_a_users_text_waits_until_all_that_texts_need_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []
    go = {"hello": threading.Event(), "password: x": threading.Event()}

    def scan(_: object, text: str) -> None:
        assert go[text].wait(60)
        built.append(text)

    content_filter = ContentFilter(STANDARD, Metrics().findings)
    monkeypatch.setattr(type(content_filter.warmup), "_scan_by_all", scan)

    async def send() -> None:
        await content_filter.filter_message("ann", "good morning")
        built.append("sent")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(content_filter.warmup.scan)
        await wait_all_tasks_blocked()
        nursery.start_soon(content_filter.warmup.scan, "password: x")
        await wait_all_tasks_blocked()
        nursery.start_soon(send)
        go["password: x"].set()
        await wait_all_tasks_blocked()
        assert built == []
        go["hello"].set()
    assert built == ["hello", "password: x", "sent"]


async def passed(content: bytes, size: int = 1000, sanitizer: Sanitizer = SANITIZER) -> tuple[bytes, FileFilter]:
    async def pieces() -> AsyncGenerator[bytes, None]:
        for at in range(0, len(content), size):
            yield content[at : at + size]

    passage = FileFilter(sanitizer, trio.CapacityLimiter(1))
    async with aclosing(pieces()) as source, aclosing(passage.chunks(source)) as out:
        return b"".join([chunk async for chunk in out]), passage


@pytest.mark.parametrize("size", [7, 41, 100_000])
async def test_a_secret_goes_wherever_the_file_is_cut(size: int) -> None:
    start, end = "é,b\r\n".encode() * 50, "\ufeff\x0c\u202ez\r".encode()
    out, passage = await passed(start + SECRET + end, size)
    assert out == start + b"[redacted]" + end
    assert [finding.category for finding in passage.result.findings] == [Category.SECRET]


@pytest.mark.parametrize(
    "content",
    [
        b"", "caf\xe9;na\xefve\r\n".encode("latin-1") * 100, "\ufeffa,b\n1,2\n".encode(),
        "name\tälter\n日本語 \U0001f600\u200d\n".encode() * 50, b"half a character \xe2\x82",
        b"PK\x03\x04" + random.Random(5).randbytes(5000), "text in UTF-16".encode("utf-16"),
        b"\x89PNG\r\n\x1a\n\x00" + SECRET,
    ],
    ids=["nothing", "latin-1", "mark", "unicode", "cut", "zip", "utf-16", "image"],
)  # fmt: skip
@pytest.mark.parametrize("size", [3, 100_000])
async def test_every_other_byte_stays(content: bytes, size: int) -> None:
    if size < 100 and not is_text(content):
        size = 16
    assert (await passed(content, size))[0] == content


async def test_nothing_comes_behind_what_is_blocked() -> None:
    blocking = Sanitizer(Policy(inbound={Category.SECRET: Action.BLOCK}), Direction.INBOUND)
    out, passage = await passed(b"fine\n" * 100 + SECRET + b" more\n" * 1000, 50, blocking)
    assert passage.result.blocked
    assert b"more" not in out
    assert SECRET[:8] not in out


async def test_a_file_that_takes_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILE_S", 0.0)
    with pytest.raises(CommandRejected) as refused:
        await passed(b"words " * 10_000, sanitizer=Sanitizer(STANDARD, Direction.INBOUND))
    assert refused.value.code == "file_too_large"


def test_a_policy_that_cannot_be_loaded_is_reported_with_its_setting(tmp_path) -> None:
    binary, wrong = tmp_path / "a.toml", tmp_path / "b.toml"
    binary.write_bytes(b"\xff\xfe")
    wrong.write_text("[inbound]\nsecrets = 'remove'\n")
    for name, words in (("none", "standard, strict or off"), (str(binary), "UTF-8"), (str(wrong), "inbound.secrets")):
        with pytest.raises(InvalidPolicy, match=words) as error:
            load_policy(name)
        assert "UNDERSTUDY_SCRUB_POLICY" in str(error.value)
    assert load_policy("off").inbound == {}
