"""What each field of a class is for: the text below it in the source."""

import ast
import inspect
from itertools import pairwise
from textwrap import dedent
from typing import Any

import attrs

from understudy.app.settings import TABLES


def field_texts(kind: type[Any]) -> dict[str, str]:
    """Return the text of each field of an attrs class, in one line, in the order of the fields.

    Tables of a settings file have none; a field without a text has an empty one.
    """
    body: list[ast.stmt] = ast.parse(dedent(inspect.getsource(kind))).body[0].body  # type: ignore[attr-defined]
    texts = {
        field.target.id: " ".join(below.value.value.split())
        for field, below in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
    }
    tables = {each.name for each in attrs.fields(kind) if attrs.has(each.type or str)} - texts.keys() | {*TABLES}
    return {each.name: texts.get(each.name, "") for each in attrs.fields(kind) if each.name not in tables}
