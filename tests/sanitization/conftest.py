"""Runs a sample of the cases of each function; the others belong to the proof (`tests/proof.toml`, part `cases`).

The parameters of these tests are products of texts, policies and ways to cut them: thousands of cases of a few hundred
functions. `SANITIZATION_SEED` chooses another sample. A test named by its id is always run.
"""

import os
import random
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parent
SEED: Final = os.environ.get("SANITIZATION_SEED", "1")
LEAST: Final = 6
"""Cases that every function keeps, or all if it has fewer."""
SHARE: Final = 8
"""Of functions with many cases one in eight is run."""
MOST: Final = 100
"""Cases of one function that are run at most."""


def sampled(items: Iterable[pytest.Item], seed: str) -> set[pytest.Item]:
    """Return the items to run: for each function the same ones whenever the seed is the same."""
    by_function: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        by_function[item.nodeid.partition("[")[0]].append(item)
    chosen: set[pytest.Item] = set()
    for name, cases in by_function.items():
        number = min(len(cases), max(LEAST, min(MOST, len(cases) // SHARE)))
        chosen.update(random.Random(f"{seed} {name}").sample(cases, number))
    return chosen


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the cases that are not in the sample, before `tests/conftest.py` selects."""
    ours = [item for item in items if item.path.is_relative_to(HERE) and item.get_closest_marker("proof") is None]
    chosen = sampled(ours, SEED)
    for item in ours:
        if item not in chosen:
            item.add_marker(pytest.mark.proof("cases"))


def pytest_report_header() -> str:
    return f"sanitization: a sample of the cases by SANITIZATION_SEED={SEED}; --proof=cases runs the others"
