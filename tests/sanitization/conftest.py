"""Runs a sample of the cases of each function, and all cases if `CI` is set.

The parameters of these tests are products of texts, policies and ways to cut them: thousands of cases of a few hundred
functions. `SANITIZATION_SEED` chooses another sample; `CI=1` runs the whole. A test named by its id is always run.
"""

import os
import random
from collections import defaultdict
from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parent
SEED: Final = os.environ.get("SANITIZATION_SEED", "1")
LEAST: Final = 6
"""Cases that every function keeps, or all if it has fewer."""
SHARE: Final = 8
"""Of functions with many cases one in eight is run."""

_left_out = pytest.StashKey[int]()


def sampled(items: list[pytest.Item], seed: str) -> set[pytest.Item]:
    """Return the items to run: for each function the same ones whenever the seed is the same."""
    by_function: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        by_function[item.nodeid.partition("[")[0]].append(item)
    chosen: set[pytest.Item] = set()
    for name, cases in by_function.items():
        number = min(len(cases), max(LEAST, len(cases) // SHARE))
        chosen.update(random.Random(f"{seed} {name}").sample(cases, number))
    return chosen


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the cases that are not in the sample."""
    if os.environ.get("CI") or any("::" in str(arg) for arg in config.args):
        return
    ours = [item for item in items if item.path.is_relative_to(HERE)]
    chosen = sampled(ours, SEED)
    left_out = [item for item in ours if item not in chosen]
    if left_out:
        gone = set(left_out)
        items[:] = [item for item in items if item not in gone]
        config.hook.pytest_deselected(items=left_out)
    config.stash[_left_out] = len(left_out)


def pytest_report_collectionfinish(config: pytest.Config) -> str | None:
    """Name the seed and what was left out, in the header of the run."""
    left_out = config.stash.get(_left_out, 0)
    return f"sanitization: SANITIZATION_SEED={SEED}, {left_out} cases left out (CI=1 runs all)" if left_out else None
