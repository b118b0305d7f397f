"""Paths become few patterns, however many actors there were."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.observe.paths import OTHER, PathLabels, path_pattern


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("/system/storage", "/system/storage"),
        ("system/connections/8f3e", "system/connections/*"),
        ("/system/conversations/hello/run-17/tool-call", "/system/conversations/*/*/tool-call"),
        ("/system/conversations/3f71713a-cd76-4e5f-a1c8-fc783f0e22b6/outbox", "/system/conversations/*/outbox"),
        ("/system/" + "x" * 40, "/system/*"),
        ("/system/Ünï", "/system/*"),
        ("", ""),
    ],
)
def test_ids_become_stars(path: str, pattern: str) -> None:
    assert path_pattern(path) == pattern


@given(st.lists(st.text(max_size=30), max_size=50))
def test_labels_are_bounded(paths: list[str]) -> None:
    labels = PathLabels(limit=5)
    assert len({labels.label(path) for path in paths} - {OTHER}) <= 5


def test_known_patterns_stay_known() -> None:
    labels = PathLabels(limit=1)
    assert [labels.label(path) for path in ("/a", "/b", "/a")] == ["/a", OTHER, "/a"]
