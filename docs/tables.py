"""The tables of the documentation that are made from the code.

python -m docs.tables    writes them into the pages, between `<!-- table: NAME -->` and `<!-- end -->`
"""

import re
import tomllib
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import attrs

from docs.cells import carried_rows, growth_rows, needed_rows
from docs.folders import kernel_rows
from docs.message_way import step_rows, walk_rows
from sanitization import Category, Direction, Finding, Kind, Sanitizer, everywhere
from sanitization.detectors import CONTENT, DISGUISES
from sanitization.detectors.markup.markup import Markup
from sanitization.findings import Action
from transport.wire.codes import CLOSES
from transport.wire.commands import Refresh
from transport.wire.events import wire_name
from understudy.agents.registry import all_agents
from understudy.app.field_texts import field_texts
from understudy.app.settings import Settings, extension_tables, setting_tables
from understudy.cli.extended import parts_of
from understudy.extensions.nodes.metrics import redis_up, register_lapses
from understudy.installed import installed, is_ours
from understudy.observe.metrics import Metrics
from understudy.storage.limits import Limits
from understudy.tools.response import chat_response
from understudy.web.application import build_http_app
from understudy.web.context import WebContext
from understudy.web.routes import routes_of
from understudy.wire.codes import ERRORS
from understudy.wire.commands import COMMANDS
from understudy.wire.events import EVENTS

DOCS: Final = Path(__file__).parent
OF_MANY: Final = {"internal", "invalid_command", "message_too_large", "rate_limited", "storage_unavailable"}
"""Codes with which most requests may be refused: the page names them once."""
LONGEST: Final = 96
"""Characters of an example that are shown."""
PAGE_MODE: Final = "markup in a page"
WATCHFUL: Final = Sanitizer(everywhere(dict.fromkeys(Category, Action.FLAG)), Direction.TOOL)

MARK: Final = re.compile(r"^<!-- table: ([^\n]+) -->\n.*?^<!-- end -->$", re.MULTILINE | re.DOTALL)
_UNSEEN: Final = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"}
"""General categories of characters that a page does not show."""
_FILLERS: Final = "\u115f\u1160\u3164\uffa0\u17b4\u17b5\u034f"
_SHOWN: Final = 4
"""Characters of a secret that are shown; fewer where it has fewer than 16."""


def filled(page: str) -> str:
    """Return a page with its tables made anew. Raises KeyError for a name that is not in TABLES."""
    return MARK.sub(lambda mark: f"<!-- table: {mark[1]} -->\n\n{TABLES[mark[1]]()}\n\n<!-- end -->", page)


def routes() -> str:
    """Return every request with what its view says of it, and the error codes of its own."""
    nothing: dict[str, Any] = dict.fromkeys(field.name for field in attrs.fields(WebContext))
    app = build_http_app(WebContext(**nothing | {"settings": Settings(), "extensions": installed()}))
    known = sorted(routes_of(app), key=lambda route: (route.rule, route.method))
    (of_commands,) = ({*route.refusals} - OF_MANY for route in known if route.path == "/api/commands")
    rows = []
    for route in known:
        codes = [code for code in route.refusals if code not in OF_MANY]
        if of_commands <= {*codes} and route.path != "/api/commands":
            codes = ["those of a command", *(code for code in codes if code not in of_commands)]
        listed = ", ".join(code if " " in code else f"`{code}`" for code in codes)
        effect = route.summary if route.token else f"{route.summary} No token."
        rows.append((f"`{route.method} {route.path}`", effect, listed))
    return as_markdown(("request", "effect", "refused with"), rows)


def metrics() -> str:
    """Return every metric with its kind, its labels, and the text that a scrape has of it."""
    kept = Metrics()
    brought = [counter for extension in installed().values() for counter in extension.metrics()]
    for counter in brought:
        kept.declare(counter)
    kept.actors.observe_tree(lambda: None)
    register_lapses(kept, int)
    kept.describe_build("")
    redis_up(kept)
    labels = (
        {
            metric._name: list(metric._labelnames)
            for group in (kept, kept.connections, kept.runs, kept.runs.models, kept.findings, kept.storage, kept.actors)
            for metric in (getattr(var, "_metric", var) for var in vars(group).values())
            if hasattr(metric, "_labelnames")
        }
        | {counter.name: [counter.label] for counter in brought}
        | {
            "understudy_mailbox_depth_messages": ["path", "lane"],
            "understudy_actors": ["path"],
            "understudy_build": ["version", "python"],
        }
    )
    rows = []
    for metric in kept.registry.collect():
        if not metric.name.startswith("process_"):
            name = f"{metric.name}_info" if metric.type == "info" else metric.name
            named = ", ".join(f"`{label}`" for label in labels.get(metric.name, []))
            rows.append((f"`{name}`", metric.type, named, metric.documentation))
    return as_markdown(("metric", "kind", "labels", "what"), rows)


def extensions() -> str:
    """Return the extensions of this package with what they are for, what they require and which parts they have."""
    rows = []
    for name, extension in sorted(installed().items()):
        if not is_ours(extension):
            continue
        rows.append((f"`{name}`", *map(", ".join, (extension.requires, parts_of(extension))), extension.about))
    return as_markdown(("extension", "requires", "brings", "what it is for"), rows)


def settings() -> str:
    """Return the settings of the kernel but its limits, those of tables with the table's name."""
    tables = {"": Settings, **setting_tables()}
    kinds = {table: kind for table, kind in tables.items() if table not in {"limits", *extension_tables()}}
    return settings_of(*((kind, f"{table}.".lstrip(".")) for table, kind in kinds.items()))


def settings_of(*kinds: tuple[type[Any], str]) -> str:
    """Return the settings of classes, each with what stands before its name, its default and its docstring."""
    rows = []
    for kind, before in kinds:
        for name, text in field_texts(kind).items():
            value = getattr(kind(), name)
            rows.append((f"`{before}{name}`", f"`{value}`" if value or value == 0 else "(empty)", text))
    return as_markdown(("setting", "default", "meaning"), rows)


def agents() -> str:
    """Return the built-in agents with their names on the wire and their tools."""
    rows = [
        (
            f"`{agent.name}`",
            f"`{agent.agent_type}`" + (f", pillar `{agent.pillar}`" if agent.pillar else ""),
            ", ".join(f"`{one.name}`" for one in agent.tools),
            agent.description,
        )
        for agent in all_agents().values()
    ]
    return as_markdown(("agent", "on the wire", "tools", "for"), rows)


def tools() -> str:
    """Return the tools that come with the server, with their parameters and what a model is told of them."""
    known = {tool.name: tool for agent in all_agents().values() for tool in agent.tools}
    rows = [
        (f"`{each.name}`", ", ".join(f"`{name}`" for name in each.parameters["properties"]), each.description)
        for each in (*known.values(), chat_response)
    ]
    return as_markdown(("tool", "parameters", "what"), rows)


def events() -> str:
    """Return every event with the members of its `data`, and whether it has a number."""
    rows = []
    for name, kind in EVENTS.items():
        fields = [(f"`{wire_name(field)}`", field.default is attrs.NOTHING) for field in attrs.fields(kind)]
        needed, optional = (", ".join(name for name, first in fields if first is one) for one in (True, False))
        rows.append((f"`{name}`", needed, optional, "with a run" if name == "error" else _yes(kind.durable)))
    return as_markdown(("type", "required in `data`", "optional", "durable"), rows)


def commands() -> str:
    """Return every command with its fields; a `?` is at those that may be left out."""
    types: dict[type[Any], list[str]] = {}
    for name, kind in COMMANDS.items():
        types.setdefault(kind, []).append(f"`{name}`")
    rows = []
    for kind, names in types.items():
        fields = [field for field in attrs.fields(kind) if field.name != "session_token" or kind is Refresh]
        shown = [f"`{field.name}`{'' if field.default is attrs.NOTHING else '?'}" for field in fields]
        rows.append((", ".join(names), ", ".join(shown)))
    return as_markdown(("`type`", "fields"), rows)


def errors() -> str:
    """Return every error code with its sentence."""
    rows = [(f"`{error.name}`", error.text, _yes(error.retryable), str(error.http_status)) for error in ERRORS.values()]
    return as_markdown(("code", "text", "retryable", "HTTP"), rows)


def closes() -> str:
    """Return every close code of a WebSocket."""
    rows = [(str(close.number), close.reason, _yes(close.reconnect)) for close in CLOSES.values()]
    return as_markdown(("code", "reason", "may reconnect"), rows)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def promises(about: str) -> str:
    """Return the promises of a group, each with the id that its tests carry."""
    kept = tomllib.loads((DOCS.parent / "tests" / "promises.toml").read_text())[about]
    return as_markdown(("id", "promise"), [(f"`{about}.{name}`", text) for name, text in kept.items()])


def kinds() -> Iterator[tuple[str, Kind]]:
    """Yield every kind of every detector, with its table."""
    for detector in (*DISGUISES, *CONTENT):
        for kind in detector.kinds:
            yield f"{detector.category}", kind
    for kind in Markup.kinds:
        yield PAGE_MODE, kind


def found(section: str, kind: Kind) -> tuple[Finding, ...]:
    """Return the findings of the sanitizer in a kind's example."""
    sanitize = WATCHFUL.sanitize_html if section == PAGE_MODE else WATCHFUL.sanitize
    return sanitize(kind.example).findings


def findings(section: str) -> str:
    """Return the kinds of a category, each with an example.

    Secrets whose names say all are left out, and kinds in a page that mean the same as in any text.
    """
    known = {(kind.name, kind.meaning) for category, kind in kinds() if section == PAGE_MODE and category != section}
    rows = [
        (f"`{kind.name}`", f"{kind.meaning.removesuffix('.')}.", example(section, kind))
        for category, kind in kinds()
        if category == section and (kind.name, kind.meaning) not in known
        if not (section == Category.SECRET and says_all(kind))
    ]
    return as_markdown(("kind", "what it is", "example"), rows)


def named_secrets() -> str:
    """Return the kinds of secrets whose names say all, by their initials."""
    names = sorted(kind.name for section, kind in kinds() if section == Category.SECRET and says_all(kind))
    initials = groupby(names, key=lambda name: name.removeprefix("secret.")[0])
    rows = [(initial.upper(), ", ".join(f"`{name}`" for name in group)) for initial, group in initials]
    return as_markdown(("initial", "kinds"), rows)


def says_all(kind: Kind) -> bool:
    """Whether the meaning of a secret has the parts of its name, and at most one word more."""
    parts = re.split(r"[._]", kind.name.removeprefix("secret."))
    meaning = re.sub(r"[^a-z0-9]", "", kind.meaning.lower())
    longer = len(kind.meaning.split()) > len(parts) + 1 or " or " in kind.meaning
    return len(parts) > 1 and not longer and all(part in meaning for part in parts)


def example(section: str, kind: Kind) -> str:
    """Return a kind's example for display: the beginning of a secret, the code points of hidden characters."""
    text = kind.example
    if section == Category.SECRET:
        for each in sorted(found(section, kind), key=lambda finding: -finding.start):
            text = f"{text[: each.start + min(_SHOWN, (each.end - each.start) // 4)]}…{text[each.end :]}"
    shown = [_visibly(letter) for letter in text]
    if "".join(shown) != text:
        shown = ["\\\\" if letter == "\\" else letter for letter in shown]
    text = "".join(shown)
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - 1]}…"
    return _code(text)


def _visibly(letter: str) -> str:
    code = ord(letter)
    if letter == "\n":
        return "\\n"
    selects = 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF or 0x180B <= code <= 0x180F
    if letter == " " or not (selects or letter in _FILLERS or unicodedata.category(letter) in _UNSEEN):
        return letter
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{{{code:x}}}"


def as_markdown(titles: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a table of Markdown that every viewer reads alike."""
    lines = [titles, ("---",) * len(titles), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    """Return the text of a cell in which nothing ends the cell, or begins HTML or emphasis."""
    parts = re.split(r"(`[^`]*`|<code>.*?</code>)", " ".join(text.split()))
    parts[::2] = [re.sub(r"([|*])", r"\\\1", part).replace("<", "&lt;") for part in parts[::2]]
    return "".join(_code(part[1:-1]) if part.startswith("`") else part for part in parts)


def _code(text: str) -> str:
    """Return code as Markdown. Viewers differ in how they read `\\|` in backticks."""
    if "|" not in text and "`" not in text:
        return f"`{text}`"
    return f"<code>{escape(text, quote=False).replace('|', '&#124;').replace('`', '&#96;')}</code>"


TABLES: Final[Mapping[str, Callable[[], str]]] = {
    "routes": routes,
    "events": events,
    "commands": commands,
    "error codes": errors,
    "close codes": closes,
    "extensions": extensions,
    "folders of the kernel": lambda: as_markdown(("folder", "what stands in it"), kernel_rows()),
    "way of a message": lambda: as_markdown(("step", "file", "passes also", "function"), step_rows()),
    "walk from the socket to the commit": lambda: as_markdown(("file", "functions", "the next by"), walk_rows()),
    "one cell": lambda: as_markdown(("of one cell", "how much", "because"), carried_rows()),
    "ten million users": lambda: as_markdown(("active at the peak", "users", "cells", "nodes"), needed_rows()),
    "growth of cells": lambda: as_markdown(
        ("when a cell is full", "cells", "tenants copied", "most users who wait at once", "% in the largest"),
        growth_rows(),
    ),
    "metrics": metrics,
    "settings": settings,
    "limits": lambda: settings_of((Limits, "")),
    **{f"settings of {name}": partial(settings_of, (kind, "")) for name, kind in extension_tables().items()},
    "agents": agents,
    "tools": tools,
    "promises of bad": lambda: promises("bad"),
    "named secrets": named_secrets,
    **{f"findings of {section}": lambda section=section: findings(section) for section in (*Category, PAGE_MODE)},
}
"""What may stand in a mark."""


def main() -> None:
    """Write the tables into the pages."""
    for path in DOCS.rglob("*.md"):
        page = path.read_text(encoding="utf-8")
        if (current := filled(page)) != page:
            path.write_text(current, encoding="utf-8")


if __name__ == "__main__":
    main()
