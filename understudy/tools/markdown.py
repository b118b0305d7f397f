"""Writes the results of tools as an answer in Markdown, when no model writes one. Pure, and bounded in length."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

MAX_ROWS: Final = 12
MAX_COLUMNS: Final = 32
MAX_CELL: Final = 60
MAX_TEXT: Final = 6_000
MAX_NODES: Final = 60

_TEXTS: Final = frozenset({"text", "summary", "cleaned", "clean", "sanitized", "sanitised", "result", "content"})


def answer_of(tool: str, status: str, summary: str, result: Any = None) -> str:
    """Return the outcome of a call: its summary and value, or why it failed. `status` is a `ToolStatus`."""
    name, reason = label(tool), summary.strip() or "it gave no reason"
    match status:
        case "ok":
            # A summary that only lists the value's own fields, as `summarise` writes it, reads worse than the fields.
            first = next(iter(result), None) if isinstance(result, Mapping) else None
            lists_fields = first is not None and summary.startswith(f"{first}: ")
            sentence = "" if lists_fields else _sentence(summary)
            return "\n\n".join(([sentence] if sentence else []) + value(result, sentence)) or f"{name} is done."
        case "timed_out":
            return f"{name} took too long and was stopped."
        case "cancelled" | "killed":
            return f"{name} was stopped before it was done."
    return _sentence(f"{name} was not done. {reason}" if status == "denied" else f"{name} did not work: {reason}")


def _sentence(summary: str) -> str:
    text = re.sub(r"(?<![\w.,])(\d{1,15})\.0(?![\d])", r"\1", summary.strip())
    return text if not text or text[-1] in ".!?…:)" or "=" in text or "≈" in text else text + "."


def number(value: float) -> str:
    """Return a number for readers, without insignificant digits: 5 for 5.0, 1,234.57 for 1234.5678."""
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if value == int(value) and abs(value) < 1e15:
        return number(int(value))
    size = abs(value)
    if size >= 1e15 or size < 1e-4:
        return f"{value:.6g}"
    digits = 2 if size >= 100 else 4
    return f"{value:,.{digits}f}".rstrip("0").rstrip(".")


def plain(value: Any) -> str:
    """Return a scalar as one line of text."""
    if value is None:
        return "\u2013"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, Mapping):
        return f"{len(value)} fields"
    if isinstance(value, Sequence) and not isinstance(value, str):
        scalars = all(not isinstance(item, Mapping | list) for item in value)
        return ", ".join(plain(item) for item in value[:5]) if scalars and len(value) <= 5 else f"{len(value)} items"
    return str(value)


def _cell(value: Any) -> str:
    text = " ".join(plain(value)[: 4 * MAX_CELL].split())
    text = text if len(text) <= MAX_CELL else text[: MAX_CELL - 1] + "…"
    for mark in ("\\", "|", "`", "*", "<", "["):
        text = text.replace(mark, "\\" + mark)
    # An underscore inside a word is no emphasis; at a word's edge it would be.
    return text.replace(" _", " \\_")


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], total: int | None = None) -> str:
    """Return a table of at most 12 rows and 32 columns, with a note below it about omitted ones."""
    shown = columns[:MAX_COLUMNS]
    lines = ["| " + " | ".join(_cell(column) for column in shown) + " |", "|"]
    for index in range(len(shown)):
        cells = [row[index] for row in rows[:MAX_ROWS] if index < len(row) and row[index] is not None]
        numeric = bool(cells) and all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in cells)
        lines[1] += " ---: |" if numeric else " --- |"
    lines += ["| " + " | ".join(_cell(cell) for cell in row[:MAX_COLUMNS]) + " |" for row in rows[:MAX_ROWS]]
    omitted = (len(rows) if total is None else total) - min(len(rows), MAX_ROWS)
    notes = []
    if omitted > 0:
        notes.append(f"{omitted:,} more row{'' if omitted == 1 else 's'}")
    if len(columns) > MAX_COLUMNS:
        notes.append(f"{len(columns) - MAX_COLUMNS:,} more fields")
    return "\n".join(lines) + (f"\n\n*… and {' and '.join(notes)}.*" if notes else "")


def quotation(text: str) -> str:
    """Return a longer text as a quotation, or as a code block if it holds markup; at most 6,000 characters."""
    shown = text[:MAX_TEXT]
    note = f"\n\n*… shortened here: {len(text) - MAX_TEXT:,} more characters.*" if len(text) > MAX_TEXT else ""
    if any(mark in shown for mark in ("<", "`", "|", "#", "\n ")):
        fence = "```"
        while fence in shown:
            fence += "`"
        return f"{fence}text\n{shown}\n{fence}{note}"
    return "\n".join(f"> {line}" if line.strip() else ">" for line in shown.splitlines()) + note


def value(result: Any, said: str = "") -> list[str]:
    """Return the parts of a JSON value that `said` does not mention, each as a block of markdown."""
    if isinstance(result, str):
        return [] if result in said or not result.strip() else [quotation(result)]
    if isinstance(result, list):
        return _list(result)
    if isinstance(result, Mapping):
        if isinstance(result.get("children"), list):
            return [_tree(result)]
        return _object(result, said)
    return [] if result is None or plain(result) in said else [f"**{plain(result)}**"]


def _object(result: Mapping[str, Any], said: str) -> list[str]:
    columns, rows = result.get("columns"), result.get("rows")
    if isinstance(columns, list) and isinstance(rows, list) and all(isinstance(row, list) for row in rows):
        names = [str(column.get("name", "")) if isinstance(column, Mapping) else str(column) for column in columns]
        return [table(names, rows)] if rows and not (len(rows) == 1 and len(names) == 1 and said) else []
    blocks: list[str] = []
    has_drawing = isinstance(result.get("text"), str)  # the text is a drawing of the tree, which is not shown twice
    if not said:
        lines = [
            f"- **{label(key)}**: {_cell(part)}" for key, part in result.items() if not isinstance(part, list | dict)
        ]
        blocks += ["\n".join(lines[:20])] if lines else []
    for key, member in result.items():
        if key == "points" and "kind" in result:
            continue  # a chart shows its points itself
        if isinstance(member, str) and said and key in _TEXTS and member.strip() and member not in said:
            blocks.append(quotation(member))
        elif isinstance(member, list) and member and isinstance(member[0], Mapping | list):
            blocks += [f"**{label(key)}**", *_list(member)]
        elif isinstance(member, list) and member and not said:
            blocks.append(f"- **{label(key)}**: {_cell(member)}")
        elif isinstance(member, Mapping) and member and not (has_drawing and "children" in member):
            if isinstance(member.get("children"), list):
                blocks.append(_tree(member))
            elif scalars := [(k, v) for k, v in member.items() if not isinstance(v, list | dict)]:
                lines = [f"- {label(k)}: {_cell(v)}" for k, v in scalars[:12]]
                blocks.append(f"**{label(key)}**\n\n" + "\n".join(lines))
    return blocks[:8]


def _list(items: Sequence[Any]) -> list[str]:
    if not items:
        return ["*(nothing)*"]
    if all(isinstance(item, Mapping) for item in items):
        keys = list(dict.fromkeys(key for item in items[:MAX_ROWS] for key in item))
        shown = [k for k in keys if any(not isinstance(item.get(k), list | dict | None) for item in items[:MAX_ROWS])]
        rows = [[item.get(key) for key in shown] for item in items[:MAX_ROWS]]
        return [table([label(key) for key in shown], rows, len(items))]
    lines = [f"- {_cell(item)}" for item in items[: 2 * MAX_ROWS]]
    omitted = len(items) - 2 * MAX_ROWS
    return ["\n".join(lines) + (f"\n\n*… and {omitted:,} more.*" if omitted > 0 else "")]


def label(key: str) -> str:
    """Return the name of a field or a tool as words: `unit_price` becomes "Unit price"."""
    words = str(key).replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def _tree(root: Mapping[str, Any]) -> str:
    """Return a tree as an indented list, depth first, cut after 60 nodes."""
    lines: list[str] = []
    waiting: list[tuple[int, Any]] = [(0, root)]
    omitted = 0
    while waiting:
        depth, node = waiting.pop()
        if not isinstance(node, Mapping):
            continue
        children = node.get("children")
        waiting += [(depth + 1, child) for child in reversed(children if isinstance(children, list) else [])]
        if len(lines) >= MAX_NODES:
            omitted += 1
            continue
        title = str(node.get("path") or node.get("name") or node.get("id") or "?")
        facts = [str(node[key]) for key in ("type", "state") if node.get(key)]
        facts += [f"{node['restarts']} restarts"] if node.get("restarts") else []
        lines.append(f"{'  ' * min(depth, 8)}- `{title.replace('`', '')}`{': ' + ', '.join(facts) if facts else ''}")
    return "\n".join(lines) + (f"\n\n*… and {omitted:,} more.*" if omitted else "")
