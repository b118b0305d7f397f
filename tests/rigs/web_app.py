"""The paths of an application with some of the extensions."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from attrs import fields

from understudy.app.settings import Settings
from understudy.installed import installed
from understudy.web.application import build_http_app
from understudy.web.context import WebContext


def paths(folder: Path, names: Collection[str]) -> set[tuple[str, str]]:
    """Return the paths and methods of an application with these extensions."""
    values: dict[str, Any] = dict.fromkeys(field.name for field in fields(WebContext))
    values |= {"settings": Settings(data_dir=folder), "extensions": {name: installed()[name] for name in names}}
    rules = build_http_app(WebContext(**values)).url_map.iter_rules()
    return {(rule.rule, method) for rule in rules for method in (rule.methods or set()) - {"OPTIONS"}}
