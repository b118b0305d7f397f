"""Figures of the sanitizer.

recall_FAMILY           per cent of a corpus' attacks that are found, for markup per cent that are inert in a browser
false_alarms_FAMILY     per cent of its look-alikes that are taken for attacks, or changed
exact_FAMILY            per cent of its spans that a finding has to the character
scrub_mb_s              a megabyte of conversation with every detector on, MB a second of one core
scrub_dense_mb_s        a conversation in which every message has code, numbers, addresses or people in it
delta_us                a streamed piece of 12 characters behind a megabyte, the median; delta_start_us at the beginning
                        of a text, delta_mean_us the average, delta_open_us while a secret may be under way
message_us              one message of one or a few lines, sanitized alone
worst_mb_s              the slowest of some seventy megabytes made to be slow; worst_html_mb_s the same for markup
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from attrs import frozen

from benchmarks.figure import RUNS, Figure

from . import chat, hostile, rates
from .corpus import FAMILIES, Report, report
from .peers import others

__all__ = ["OPTIONS", "QUICK", "Sizes", "figures"]

OPTIONS = ("corpora", "misses")
"""Command-line options that `figures` takes."""
SPANS = ("secrets", "pii", "terminal", "unicode")
"""Families whose rows have exact places."""


MARKED: Final = "<>&[]()"
OPEN: Final = 'Here it is: password = "a long one '


@frozen
class Sizes:
    """How much is measured: characters of conversation and of the part for peers, rounds, bytes of hostile texts."""

    text: int = 1_000_000
    shared: int = 100_000
    rounds: int = RUNS
    streamed: int = 60_000
    hostile: int = 1_000_000


QUICK: Final = Sizes(text=20_000, shared=2_000, rounds=1, streamed=3_000, hostile=3_000)


def figures(sizes: Sizes | None = None, *, corpora: Path | None = None, misses: str | None = None) -> Iterator[Figure]:
    """Measure and yield the figures, one by one. Without `corpora` there are no figures of recall.

    `misses` names a family, or is `all`: its rows are judged, failed rows are listed on the error output, and nothing
    else is measured.
    """
    if corpora is None:
        say("no --corpora DIR: no recall, no false alarms")
    else:
        for family in FAMILIES:
            if misses in (None, "all", family.name):
                yield from _judged(report(corpora, family), listed=misses is not None)
    if misses is None:
        yield from _fast(sizes or Sizes())
        yield from _slowest(sizes or Sizes())


def _judged(judged: Report, *, listed: bool) -> Iterator[Figure]:
    name = judged.family.name
    for category, (passed, rows) in sorted(judged.categories().items()):
        say(f"{name:<10} {category:<24} {passed:>4} of {rows:>4} pass")
    if listed:
        for miss in judged.misses():
            say(f"missed  {miss.line()}")
        for verdict in judged.inexact() if name in SPANS else ():
            say(f"inexact {verdict.line()}")
    yield Figure(f"recall_{name}", "%", judged.recall)
    yield Figure(f"false_alarms_{name}", "%", judged.false_alarms)
    if name in SPANS:
        yield Figure(f"exact_{name}", "%", judged.exact)


def _fast(sizes: Sizes) -> Iterator[Figure]:
    text = chat.chat(sizes.text)
    shared = text[: sizes.shared]
    beside = {name: rates.mb_s(work, shared, 1) for name, work in others()}
    yield Figure("scrub_mb_s", "MB/s", rates.mb_s(rates.sanitizer().sanitize, text, sizes.rounds), beside)
    dense = chat.chat(sizes.text, chat.DENSE)
    yield Figure("scrub_dense_mb_s", "MB/s", rates.mb_s(rates.sanitizer().sanitize, dense, sizes.rounds))
    pieces = text[: sizes.streamed]
    late = rates.delta(pieces, text)
    yield Figure("delta_us", "us", late.median_us)
    yield Figure("delta_start_us", "us", rates.delta(pieces, "").median_us)
    yield Figure("delta_mean_us", "us", late.mean_us)
    yield Figure("delta_open_us", "us", rates.delta(f"{OPEN}{'more of it '}" * (sizes.streamed // 50), text).mean_us)
    yield Figure("message_us", "us", rates.message_us(chat.messages(sizes.streamed)))


def _slowest(sizes: Sizes) -> Iterator[Figure]:
    """Yield the lowest rate, of one run for each text; print the five slowest."""
    sanitizer = rates.sanitizer()
    texts = dict(hostile.texts(sizes.hostile))
    for figure, work, chosen in (
        ("worst_mb_s", sanitizer.sanitize, texts),
        (
            "worst_html_mb_s",
            sanitizer.sanitize_html,
            {name: text for name, text in texts.items() if set(text) & set(MARKED)},
        ),
    ):
        found = sorted((rates.mb_s(work, text, 1), name) for name, text in chosen.items())
        for rate, name in found[:5]:
            say(f"{figure:<16} {rate:8.2f} MB/s  {name}")
        yield Figure(figure, "MB/s", found[0][0])


def say(text: str) -> None:
    """Print a line of progress to the error output."""
    print(f"scrub: {text}", file=sys.stderr, flush=True)
