"""Finds arguments for a tool in the request, by the format, type and name of each parameter.

An argument that is not found is `MISSING`; none is made up.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from understudy.models.offline import arithmetic, scan
from understudy.models.offline.request import MISSING, Source, named_file, plain_schema
from understudy.models.offline.roles import AGGREGATES, aggregate_in, find_roles

_GROUPS: Final = frozenset({"x", "by", "group", "groups", "category", "dimension", "split", "label", "labels", "time"})
_MEASURES: Final = frozenset({"y", "value", "values", "measure", "metric", "amount", "number"})
_BODIES: Final = frozenset({"text", "content", "body", "message", "prompt", "question", "note", "document", "input"})
_IDENTIFIERS: Final = frozenset({"id", "code", "key", "sku", "ref", "reference", "ticket", "identifier"})
_PLACE: Final = re.compile(
    r"\b(?:in|for|of|at|from|to|about|on|near)\s+((?:[A-ZÀ-Ý][\w'\u2019.-]*)(?:\s+(?:[A-ZÀ-Ý][\w'\u2019.-]*)){0,3})"
)
# Words and signs between the name of a number and the number: fixed costs of about 50,000.
_BETWEEN: Final = r"(?:\W{1,3}(?:costs?|is|are|was|were|of|at|about|around|a|the|per|unit|each)\b){0,4}\W{1,3}[€$£]?\s?"
_NO_SHARE: Final = r"(?![\d.,]*\s?(?:%|per\s?cent))"
_PERIODS: Final = {"daily": "day", "weekly": "week", "monthly": "month", "quarterly": "quarter", "yearly": "year"}
_PERIOD: Final = re.compile(
    rf"\b(?:by|per|each|every)\s(day|week|month|quarter|year)\b|\b(?:{'|'.join(_PERIODS)})\b", re.IGNORECASE
)
_HOURS: Final = re.compile(r"\b(?:last|past|this)\s(?:(half)\s(?:an\s)?)?hour\b", re.IGNORECASE)
_SPANS: Final = {"hour": 60, "day": 1440, "week": 10_080, "month": 43_200}
SPAN: Final = re.compile(r"\b(\d{1,3})\s(hour|day|week|month)s?\b", re.IGNORECASE)
MAX_PAIR: Final = 100_000
"""Characters of a message in which two texts to compare are sought."""
MAX_QUOTED: Final = 10_000
"""Characters of a message in which quotations to compare are sought, one by one."""
_RULER: Final = re.compile(r"\n[ \t]{0,3}(?:-{3,}+|={3,}+|\*{3,}+)[ \t]*+\n")
_EMPTY_LINE: Final = re.compile(r"\n[ \t]*+\n\s*+")
_VERSUS: Final = re.compile(r"\s(?:versus|vs\.?)\s", re.IGNORECASE)
MAX_NAMING: Final = 8
"""Words of a request for a tool for texts that has no text to work on."""
_PLAIN: Final = re.compile(r"[^\W\d_](?:[^\W\d_]|[ ,'\u2019-])*[.!?]?")
_EMAIL: Final = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}")
_ADDRESS: Final = re.compile(r"https?://[^\s<>\"']{1,2000}")


def fill(name: str, schema: Mapping[str, Any], source: Source, *, required: bool) -> Any:
    """Return the argument for one parameter, or `MISSING`. Optional ones only if the request names a value."""
    shape, request, clause = plain_schema(schema), source.request, source.clause
    written = request.look(scan.pairs, clause).get(name.lower())
    if written is not None and name.lower() not in _BODIES:  # "this text: one two" gives a body, not a word
        value = _of_type(written, shape)
        if value is not MISSING:
            return value
    if "enum" in shape:
        chosen = _choice(shape["enum"], clause, request.instruction)
        return _choice_by_effect(shape, request.instruction) if chosen is MISSING else chosen
    match shape.get("format"):
        case "file-id":
            card = named_file(list(request.files), request.near)
            return MISSING if card is None else card.id
        case "table-id":
            card = source.next_table()
            return MISSING if card is None else card.id
        case "expression":
            return source.first(arithmetic.expressions)
        case "sql":
            return _sql(source)
        case "text":
            work_on = str(shape.get("description", "")).startswith("The text to")
            return MISSING if work_on and _has_no_text(source) else _body(source)
        case "column":
            return _column(name, shape, source)
        case "aggregate":  # as the tool's description names it, if it lists some: ``avg`` or ``mean``
            listed = _listed(shape)
            return _choice(listed, clause) if listed else aggregate_in(scan.words(clause)) or MISSING
        case "cash-flows":
            lists = request.look(scan.cash_flows, request.near)
            return _shaped(lists, shape) if lists else MISSING
        case "amounts":
            named = next((found for text in (request.body, request.near) if (found := _amounts(source, text))), None)
            return named or MISSING
        case "percentage":
            return _percentage(shape, source)
        case "choices":
            return _choices(shape, request.instruction)
        case "first-text" | "second-text":
            pair = request.look(two_texts, request.material[:MAX_PAIR])
            return MISSING if pair is None else pair[shape["format"] == "second-text"]
        case "selection":
            texts = source.texts if required else (clause,)
            return next((" and ".join(s) for text in texts if (s := request.look(scan.selections, text))), MISSING)
        case "period":
            period = _PERIOD.search(clause)
            return MISSING if period is None else _PERIODS.get(period[0].lower(), period[1])
        case "shared" | "grouping":
            return _joining(shape["format"], source)
        case "identifier":
            return _identifier(name, source)
        case "date":
            return source.first(scan.DATE.findall)
        case "email":
            return source.first(_EMAIL.findall)
        case "uri":
            return source.first(_ADDRESS.findall)
    match shape.get("type"):
        case "string" if listed := _listed(shape):
            return _choice(listed, clause)
        case "string" if required:
            return _text(name, source)
        case "integer" | "number":
            return _number(name, shape, source, required)
        case "boolean":
            return _truth(name, source, required)
        case "array" if required:
            return _list(shape, source)
    return MISSING


def _of_type(written: str, shape: Mapping[str, Any]) -> Any:
    """Return a value written as ``name=value``, in the parameter's type."""
    if "enum" in shape:
        return next((each for each in shape["enum"] if str(each).lower() == written.lower()), MISSING)
    match shape.get("type"):
        case "string" if shape.get("format") not in ("sql", "text", "file-id", "table-id"):
            return written
        case "integer" | "number":
            found = scan.numbers(written)
            whole = bool(found) and (isinstance(found[0], int) or shape["type"] == "number")
            return found[0] if whole else MISSING
        case "boolean" if written.lower() in ("true", "yes", "on", "false", "no", "off"):
            return written.lower() in ("true", "yes", "on")
    return MISSING


def _choice(values: Sequence[Any], *texts: str) -> Any:
    """Return the value of a choice whose name, or a common synonym, is in the request."""
    for text in texts:
        tokens = set(scan.words(text))
        stems = {scan.stem(each) for each in tokens}
        for value in values:
            own = scan.words(str(value).replace("_", " ")) if value is not None else ()
            if own and all(scan.stem(each) in stems for each in own):
                return value
        for value in values:
            alike = {"mean": "avg", "average": "avg", "total": "sum", "maximum": "max", "minimum": "min"}
            plain = str(value).lower()
            if tokens & set(AGGREGATES.get(alike.get(plain, plain), ())):
                return value
    return MISSING


def _choice_by_effect(shape: Mapping[str, Any], text: str) -> Any:
    """Return the value with which the description begins, if it goes on with distinctive words of the request, as in
    ``strict takes out personal data``."""
    first, _, effect = str(shape.get("description", "")).partition(" ")
    distinctive = {scan.stem(each) for each in scan.words(effect) if len(each) > 6}
    fits = first in shape["enum"] and distinctive & {scan.stem(each) for each in scan.words(text)}
    return first if fits else MISSING


def _sql(source: Source) -> Any:
    if source.request.look(scan.sql, source.request.near) is not None:
        return source.request.look(scan.sql, source.request.text)
    return MISSING


def _body(source: Source) -> Any:
    inside = scan.quoted(source.request.instruction) if not source.request.has_body else []
    whole = [each for each in inside if scan.CUT not in each]
    if not whole and source.request.refers_back and (earlier := source.request.earlier_text) is not None:
        return earlier
    text = max(whole, key=len) if whole else source.request.body
    return text if text else MISSING


def _has_no_text(source: Source) -> bool:
    """Whether a message names a text at most, and has none: summarise the news."""
    said = source.request.instruction
    plain = len(scan.words(said)) <= MAX_NAMING and _PLAIN.fullmatch(said.strip()) is not None
    return plain and not source.request.has_text


def _column(name: str, shape: Mapping[str, Any], source: Source) -> Any:
    roles = source.roles()
    parts = set(scan.words(name.replace("_", " ")))
    if parts & _GROUPS:
        found: tuple[str, ...] = roles.groups
        if roles.unit is not None and roles.unit in scan.words(shape.get("description", "")):
            return roles.unit  # the tool can derive the month of a date
    elif parts & _MEASURES:
        found = roles.measures
    else:
        found = roles.mentioned
    selected = {each.partition(" = ")[0].lower() for each in source.request.look(scan.selections, source.clause)}
    found = tuple(each for each in found if each.lower() not in selected)
    if shape.get("type") == "array":
        return list(found) or MISSING
    return next((each for each in found if each not in source.used), MISSING)


def _amounts(source: Source, text: str) -> dict[str, float]:
    """Return named amounts in the beginning of a text; whole ones as int."""
    found = source.request.look(scan.amounts, scan.window(text))
    return {name: int(value) if value.is_integer() else value for name, value in found.items()}


def _choices(shape: Mapping[str, Any], text: str) -> Any:
    """Return the values of a list of choices whose names are in a text."""
    said = {scan.stem(each) for each in scan.words(text.replace("-", ""))}
    values = plain_schema(shape.get("items", {})).get("enum", ())
    return [each for each in values if scan.stem(str(each)) in said] or MISSING


def two_texts(text: str) -> tuple[str, str] | None:
    """Return two texts to compare: two quotations, or the parts beside a line of dashes, an empty line, or "versus"."""
    inside = [each for each in scan.quoted(text[:MAX_QUOTED]) if each.strip()]
    if len(inside) >= 2:
        return inside[0], inside[1]
    body = (text.split(":", 1)[1] if ":" in text[:200] else text).strip()
    for between, part in ((_RULER, body), (_EMPTY_LINE, body), (_VERSUS, body[:MAX_QUOTED])):
        parts = [each.strip() for each in between.split(part, 2) if each.strip()]
        if len(parts) == 2:
            return parts[0], parts[1]
    return None


def _joining(kind: str, source: Source) -> Any:
    """Return the column that two tables share and the request names; for ``grouping``, one of either after "by"."""
    columns, every = [frozenset(each.columns or ()) for each in source.tables], source.all_columns
    both = {name for name in every if sum(name in each for each in columns) > 1}
    roles = source.request.look(find_roles, source.request.near, every)
    if kind == "shared":
        return next((each for each in roles.mentioned if each in both), MISSING)
    return next((each for each in roles.groups if each not in both), MISSING)


def _listed(shape: Mapping[str, Any]) -> list[str]:
    """Return the values at the start of a description, as in "bar, line or pie; left out, …"; empty if none."""
    lead = re.split(r"[.;:(]", str(shape.get("description", ""))[:200])[0]
    items = [each.strip() for each in re.split(r",|\bor\b", lead) if each.strip()]
    return items if len(items) > 1 and all(each.isalnum() for each in items) else []


def _shaped(found: Sequence[tuple[str, list[float]]], schema: Mapping[str, Any]) -> Any:
    """Return the lists shaped by a schema: objects with a name, lists of lists, an object of lists, or the first."""
    if schema.get("type") == "object":
        return dict(found)
    items = schema.get("items", {})
    if items.get("type") == "array":
        return [values for _, values in found]
    if items.get("type") == "object":
        members = items.get("properties", {})
        name = next((key for key, each in members.items() if each.get("type") == "string"), None)
        values = next((key for key, each in members.items() if each.get("type") == "array"), None)
        return [{k: v for k, v in ((name, title), (values, numbers)) if k is not None} for title, numbers in found]
    return list(found[0][1])


def _percentage(shape: Mapping[str, Any], source: Source) -> Any:
    found = [each for text in source.texts for each in source.request.look(scan.percentages, text)]
    if not found:
        return MISSING
    as_fraction = shape.get("maximum", 100) <= 1 or "0." in shape.get("description", "")
    return found[0] / 100 if as_fraction else found[0]


def _identifier(name: str, source: Source) -> Any:
    subject = {scan.stem(each) for each in scan.words(name.replace("_", " "))} - {"id", "number", "code", "key"}

    def after_subject(text: str) -> list[str]:
        """A plain number may be an identifier if it follows its noun: order 4711."""
        tokens = re.findall(r"#?[\w-]+", text)
        follows = zip(tokens, [*tokens[1:], ""], [*tokens[2:], "", ""], strict=False)
        found = []
        for token, second, third in follows:
            if scan.stem(token.lower()) in subject:
                value = third if second.lower() in ("id", "number", "no", "code", "is", "nr") else second
                if any(each.isdigit() for each in value):
                    found.append(value.removeprefix("#"))
        return found

    value = source.first(scan.quoted, after_subject, scan.names)
    return value if value is MISSING else value.removeprefix("#")


def _text(name: str, source: Source) -> Any:
    """Return a text for a parameter without a format, by the parameter's name."""
    parts = set(scan.words(name.replace("_", " ")))
    if parts & _BODIES:
        return _body(source)
    if parts & {"email", "mail"}:
        return source.first(_EMAIL.findall)
    if parts & {"url", "uri", "link", "address"}:
        return source.first(_ADDRESS.findall)
    if parts & {"date", "day"}:
        return source.first(scan.DATE.findall)
    if parts & _IDENTIFIERS:
        return _identifier(name, source)
    return source.first(scan.quoted, _PLACE.findall, scan.names)


def _number(name: str, shape: Mapping[str, Any], source: Source, required: bool) -> Any:
    """Return the number next to the parameter's name; if required and there is none, the next one of the request."""
    parts = [each for each in scan.words(name.replace("_", " ")) if len(each) > 1]
    if parts == ["minutes"] and (spoken := _HOURS.search(source.clause)):
        return 30 if spoken[1] else 60
    if parts == ["minutes"] and (spoken := SPAN.search(source.clause)):
        return int(spoken[1]) * _SPANS[spoken[2].lower()]
    # The first word of the name is the most telling: the fixed of fixed costs is sought in all texts before the costs.
    for part in parts if required else parts[:1]:
        for text in source.texts if required else (source.clause,):
            stem = re.escape(part[:-1] if part.endswith("s") else part)
            near = re.search(rf"\b{stem}\w*{_BETWEEN}(-?\d[\d,]*(?:\.\d+)?){_NO_SHARE}", text, re.IGNORECASE)
            before = re.search(rf"(-?\d+(?:\.\d+)?)\W(?:(?:in|of|as)\W)?{part[:4]}", scan.spelled(text))
            found = near or before
            if found and (value := _of_type(found[1], shape)) is not MISSING and str(value) not in source.used:
                source.used.add(str(value))
                return value
    if not required:
        return MISSING
    whole = shape.get("type") == "integer"
    for text in source.texts:
        for value in source.request.look(scan.numbers, text):
            if str(value) not in source.used and (isinstance(value, int) or not whole):
                source.used.add(str(value))
                return value
    return MISSING


def _truth(name: str, source: Source, required: bool) -> Any:
    tokens = scan.words(source.clause)
    own = scan.words(name.replace("_", " "))
    if own and all(each in tokens for each in own):
        return not {"no", "not", "without", "never"} & set(tokens)
    if required and {"yes", "no"} & set(tokens):
        return "yes" in tokens
    return MISSING


def _list(shape: Mapping[str, Any], source: Source) -> Any:
    kind = plain_schema(shape.get("items", {})).get("type")
    if kind in ("integer", "number"):
        look, request = source.request.look, source.request
        found = look(scan.numbers, source.clause) or look(scan.numbers, request.near)
        return [each for each in found if isinstance(each, int) or kind == "number"] or MISSING
    if kind == "string":
        inside = [each for each in scan.quoted(source.request.near) if scan.CUT not in each]
        listed = [each.strip() for each in scan.window(source.request.body).split(",") if scan.CUT not in each]
        return inside or (listed if len(listed) > 1 else MISSING)
    return MISSING
