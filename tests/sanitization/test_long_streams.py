"""The memory of an endless stream is bounded."""

from attrs import evolve

from sanitization import STANDARD, Sanitizer, StreamSanitizer
from tests.rigs.memory import kept_bytes
from tests.rigs.sanitizer_samples import SECRETS

LINE = "\x1b[32mok\x1b[0m a line of a log, as programs write them\n"


def test_memory_does_not_grow_with_removed_text() -> None:
    """Beyond the listed finds, the edits are dropped. 64 KiB of lines are kept all the time, and are there before."""
    stream = StreamSanitizer(evolve(STANDARD, max_findings=10))
    for _ in range(2_000):
        stream.feed(LINE)
    with kept_bytes() as left:
        for _ in range(4_000):
            stream.feed(LINE)
    assert stream.found == 12_000
    assert left.size < 300_000  # 37 bytes for each of 8000 finds; an edit takes more than 100


def test_listed_findings_keep_their_original_places() -> None:
    """The first finds have their original places, including a secret that is broken up behind the last of them."""
    secret = SECRETS["secret.github.token"]
    broken = "\u200b".join(secret)
    for before in range(12):
        text = f"{LINE * before}{broken} {LINE * 40}"
        every = Sanitizer().sanitize(text).findings
        assert Sanitizer(evolve(STANDARD, max_findings=20)).sanitize(text).findings == every[:20]
