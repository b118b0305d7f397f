"""Redacts secrets in a text that arrives in pieces, with the package `sanitization` alone.

    some-command | python examples/scrub.py

The output does not depend on where the text was cut into pieces. The findings are printed to standard error.
"""

import sys
from collections.abc import Iterable, Iterator

from sanitization import StreamSanitizer, summary


def sanitized(pieces: Iterable[str]) -> Iterator[str]:
    """Yield the pieces without secrets, hidden characters and terminal sequences."""
    stream = StreamSanitizer()
    for piece in pieces:
        yield stream.feed(piece)
    yield stream.flush()
    counts = dict(summary(stream.findings).counts)
    print(f"taken out: {counts}" if counts else "nothing had to be taken out", file=sys.stderr)


if __name__ == "__main__":
    for piece in sanitized(sys.stdin):
        print(piece, end="", flush=True)
