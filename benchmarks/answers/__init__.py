"""Answers to plain questions about tables, without a language model.

right_seen, right_held   per cent of the questions that are answered right, of families that were looked at while the
                         grammar was written, and of those left out
asked_held               per cent of the latter that are asked back, though they have an answer
wrong                    answers to another question than the one asked, of all questions: 0
question_ms              one question, in the process of the table, without its start

The tables, questions and answers come from seeds; Python's `statistics` and plain loops compute the answers.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from attrs import define, field

from benchmarks.figure import Figure
from understudy.tools.duckdb_session import open_table
from understudy.tools.questions.answer import Answered, answer

from .questions import ASK, HELD, SEEN, Family, Question, questions
from .tables import draw

TABLES: Final = 230
"""Tables: with one question of each family, some 5,000 questions."""
QUICK: Final = 4


@define
class Tally:
    """How questions ended: right, asked or wrong, by family; and the wrong ones."""

    right: Counter[str] = field(factory=Counter)
    asked: Counter[str] = field(factory=Counter)
    wrong: list[tuple[Question, Answered]] = field(factory=list)
    missed: list[Question] = field(factory=list)
    refused: int = 0
    took_s: float = 0.0

    @property
    def tractable(self) -> int:
        """Questions that have an answer."""
        return self.right.total() + self.asked.total() + sum(each.answer != ASK for each, _ in self.wrong)

    @property
    def all(self) -> int:
        """All questions."""
        return self.right.total() + self.asked.total() + self.refused + len(self.wrong)


def tally(families: tuple[Family, ...], seeds: range) -> Tally:
    """Ask one question of each family about the table of each seed."""
    found = Tally()
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            drawn = draw(seed)
            (Path(folder) / "given").write_bytes(drawn.content)
            table = open_table(drawn.file, Path(folder) / "given", Path(folder))
            for question in questions(drawn, seed, families):
                began = time.process_time()
                outcome = answer(table, drawn.file, question.text)
                found.took_s += time.process_time() - began
                if outcome.answered is None:
                    if question.answer == ASK:
                        found.refused += 1
                    else:
                        found.asked[question.family] += 1
                        found.missed.append(question)
                elif agrees(question.answer, outcome.answered):
                    found.right[question.family] += 1
                else:
                    found.wrong.append((question, outcome.answered))
    return found


def agrees(expected: Any, given: Answered) -> bool:
    """Whether an answer is the one that was computed."""
    if expected == ASK:
        return False
    rows = given.rows
    if isinstance(expected, dict):
        found = {str(row[0]): row[1] for row in rows if len(row) > 1}
        return found.keys() == {str(each) for each in expected} and all(
            _same(found[str(key)], value) for key, value in expected.items()
        )
    if isinstance(expected, tuple):
        kind, *what = expected
        if kind == "rows":
            return not given.figures and len(rows) == what[0]
        if kind == "column":
            if given.figures or what[0] not in given.columns:
                return False
            place = given.columns.index(what[0])
            return sorted(row[place] for row in rows) == sorted(what[1])
        if kind == "first":
            return len(rows) == 1 and _same(rows[0][0], what[0])
        return any(_same(cell, what[0]) for row in rows for cell in row)
    return len(rows) == 1 and len(rows[0]) == 1 and _same(rows[0][0], expected)


def _same(one: Any, other: Any) -> bool:
    if one is None or other is None or isinstance(one, str):
        return bool(one == other)
    return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9)


def figures(tables: int = TABLES) -> Iterator[Figure]:
    """Measure how many questions are answered right, asked back, and answered wrong."""
    seen, held = tally(SEEN, range(tables)), tally(HELD, range(10_000, 10_000 + tables))
    yield Figure("right_seen", "%", 100 * seen.right.total() / seen.tractable)
    yield Figure("right_held", "%", 100 * held.right.total() / held.tractable)
    yield Figure("asked_held", "%", 100 * held.asked.total() / held.tractable)
    yield Figure("wrong", f"of {seen.all + held.all:,}", len(seen.wrong) + len(held.wrong), aim=0)
    yield Figure("question_ms", "ms", 1000 * (seen.took_s + held.took_s) / (seen.all + held.all))
