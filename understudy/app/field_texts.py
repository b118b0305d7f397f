"""Reads the descriptions of a class's fields: the string below each field in the source."""

import ast
import inspect
from itertools import chain, pairwise
from textwrap import dedent
from typing import Any

import attrs

from understudy.app.settings import TABLES


def field_texts(kind: type[Any]) -> dict[str, str]:
    """Return the description of each field of an attrs class, in one line, in the order of the fields.

    Fields that are tables of a settings file are left out; a field without a description has an empty one.
    """
    bodies = (ast.parse(dedent(inspect.getsource(owner))).body[0].body for owner in kind.__mro__ if attrs.has(owner))  # type: ignore[attr-defined]
    texts = {
        field.target.id: " ".join(below.value.value.split())
        for field, below in chain.from_iterable(map(pairwise, bodies))
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
    }
    tables = {field.name for field in attrs.fields(kind) if attrs.has(field.type or str)} - texts.keys() | {*TABLES}
    return {field.name: texts.get(field.name, "") for field in attrs.fields(kind) if field.name not in tables}
