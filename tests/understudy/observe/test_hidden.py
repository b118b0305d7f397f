"""Packages that are hidden from a library while it is imported."""

import importlib
import importlib.util
import sys

import pytest

from understudy.observe.hidden import hidden

NAME = "antigravity"
"""A package of the standard library that nobody imports in earnest."""


def test_a_hidden_package_cannot_be_imported_within_the_block_and_can_afterwards() -> None:
    with hidden(NAME), pytest.raises(ImportError):
        importlib.import_module(NAME)
    assert NAME not in sys.modules
    assert importlib.util.find_spec(NAME) is not None


def test_a_package_that_was_imported_stays_as_it_is() -> None:
    with hidden("json"):
        assert sys.modules["json"] is importlib.import_module("json")
    assert "json" in sys.modules
