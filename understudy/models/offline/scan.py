"""Scans of a text for words, numbers, named lists of numbers, quotations, names and SQL.

Every scan is linear and takes a bounded text: callers pass at most `WINDOW` characters.
"""

import re
from typing import Any, Final

import msgspec

# A request's instructions stand at its beginning, sometimes at its end; a pasted book stands in between.
WINDOW: Final = 1_000
TAIL: Final = 200
MAX_TABLE: Final = 4_000
"""Characters of a message in which a table is looked for."""
MAX_LINE: Final = 300
"""Characters of a line of one."""
LEAD: Final = r"\W*(?:(?:please|now|and|then|can you|could you|will you|would you)\W+)*"
"""An expression for the polite words before a request."""
# Marks both sides of the gap in a window. A word that touches it is incomplete.
CUT: Final = "\0"

_WORD: Final = re.compile(r"[^\W_]+")
_SUFFIXES: Final = ("ings", "ing", "ied", "ies", "ed", "ly", "es", "s", "e", "y")
_QUOTES: Final = {'"': '"', "“": "”", "\u2018": "\u2019", "`": "`", "«": "»", "„": "“"}
_NUMBER: Final = re.compile(r"(?<![\w.])(?<![A-Za-z]-)[-+\u2212]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\w])")
_NAME: Final = re.compile(r"#?[A-Za-z0-9][A-Za-z0-9_/#-]*")
_PAIR: Final = re.compile(r"(?<![A-Za-z0-9_])([A-Za-z_][A-Za-z0-9_]*)\s?[=:]\s?")
_SQL: Final = re.compile(r"\b(?:select|with)\b", re.IGNORECASE)
# Statements that write. They are passed on unchanged: the tool refuses them with a reason.
_WRITES: Final = re.compile(
    r"\b(?:insert\s+into|update\s+\S{1,80}\s+set|delete\s+from|(?:drop|create|alter|truncate)\s+table)\b", re.IGNORECASE
)
DATE: Final = re.compile(r"(?<!\d)\d{4}-\d{2}-\d{2}(?!\d)")
MONTH: Final = re.compile(r"(?<![\d-])(?:19|20)\d\d-(?:0[1-9]|1[0-2])(?![\d-])")
_LIST: Final = re.compile(r"[;\n]|\s(?:and|vs\.?|versus|or)\s|\.\s")
_NO_NAMES: Final = frozenset(
    "compare scenario scenarios evaluate calculate which what flows how if test is are the sensitive".split()  # noqa: SIM905 (words read better as words)
)
_PERCENT: Final = re.compile(r"(?<![\w.])([-+]?\d{1,18}(?:\.\d{1,18})?)\s?(?:%|percent\b|per\scent\b)")
_FRACTION: Final = re.compile(r"\b(?:an?|one)\s(half|third|quarter|fifth|tenth)\b|\b(?:by|in)\s(half)\b", re.IGNORECASE)
_FRACTIONS: Final = {"half": 50.0, "third": 100 / 3, "quarter": 25.0, "fifth": 20.0, "tenth": 10.0}
_AMOUNT: Final = re.compile(
    r"([^\W\d][^\W\d]{0,39}(?:[ &/'-]{1,3}[^\W\d]{1,40}){0,5})\s?[:=]?\s?(?:[€$£]|EUR\s|USD\s|GBP\s)?\s?"
    r"(\d{1,3}(?:,\d{3}){1,5}(?:\.\d{1,2})?|\d{1,15}(?:\.\d{1,2})?)\s?([km]\b)?(?![\d.,]?\d|\s?(?:%|per\s?cent))",
    re.IGNORECASE,
)
_SPENT: Final = re.compile(
    r"\b(\d{1,3}(?:,\d{3}){1,5}|\d{1,15}(?:\.\d{1,2})?)\s?([km]\b)?(?:\s?(?:€|\$|£|EUR|USD|GBP))?\s(?:on|for)\s([^\W\d]\w{1,40})",
    re.IGNORECASE,
)
_MOST_AMOUNTS: Final = 100
# Words before an amount that are no part of its name.
_NO_LINES: Final = frozenset(
    "a an and are at be by cost costs costing cut for from how in is it just me my of on or our per pay please reduce "  # noqa: SIM905 (words read better as words)
    "save spend spending than that the these this those to us we what which with".split()
)
_COUNTS: Final = {
    each: n
    for n, each in enumerate("one two three four five six seven eight nine ten eleven twelve".split(), 1)  # noqa: SIM905 (words read better as words)
}
_SPELLED: Final = re.compile(rf"\b(?:{'|'.join(_COUNTS)})\b", re.IGNORECASE)
_MOST_PERIODS: Final = 100
_SUM: Final = (
    r"(?:[€$£]\s?)?(\d{1,3}(?:,\d{3}){1,4}|\d{1,15}(?:\.\d{1,2})?)\s?([km]\b)?"
    r"(?:\s?(?:€|\$|£|EUR|USD|GBP|euros?|dollars?))?"
)
_PERIODS: Final = r"(?:year|month|quarter|period)"
_PLAN: Final = re.compile(
    r"(?:\b((?:option|plan|offer|project|variant)\s\w{1,20})\s)?"
    r"\b(?:invest|investing|costs?|costing|pay|paying|spend|spending|buy|for|of|price)\s(?:about\s)?"
    rf"{_SUM}[^.;\d]{{1,80}}{_SUM}\s(?:(?:an?|per|each|every)\s{_PERIODS}\s)?(?:for|over|during)\s"
    rf"(?:the\snext\s)?(\w{{1,9}})\s{_PERIODS}s?\b",
    re.IGNORECASE,
)
_WHERE: Final = re.compile(
    r"\b(?:where|with)\s+([^\W\d][\w ]{0,60}?)\s*(?:=|\bis\b|\bequals\b)\s*(\S[^\n]{0,200})", re.IGNORECASE
)
_COUNTED: Final = re.compile(
    r"\d\s?(?:years?|months?|quarters?|weeks?|days?|periods?|times|units?|pieces)\b", re.IGNORECASE
)
_OUTLAYS: Final = frozenset(
    "invest invests invested investing pay pays paid spend spends spent cost costs costing outlay outlays buy".split()  # noqa: SIM905 (words read better as words)
)
_RETURNS: Final = frozenset(
    "back bring brings earn earns gain gains get gets income inflow inflows receive receives return returns "  # noqa: SIM905 (words read better as words)
    "then".split()
)
_RATE: Final = re.compile(r"(?:at|with|using)?\s?(?:an?\s)?(?:discount\srate\sof\s)?\d{1,9}(?:\.\d{1,9})?\s?%")


def window(text: str) -> str:
    """Return the beginning and the end of a text, which hold its instructions; `CUT` marks the gap between them."""
    return text if len(text) <= WINDOW + TAIL else f"{text[:WINDOW]}{CUT}\n{CUT}{text[-TAIL:]}"


def words(text: str) -> tuple[str, ...]:
    """Return the words of a text, in lower case and in order."""
    return tuple(_WORD.findall(text.lower()))


def stem(word: str) -> str:
    """Return a word without its ending, in one spelling: charts, charting and charted are chart; z is s."""
    word = word.replace("z", "s")
    if len(word) > 3:
        for suffix in _SUFFIXES:
            if word.endswith(suffix) and len(word) - len(suffix) >= 3:
                return stem(word[: -len(suffix)]) if suffix == "s" else word[: -len(suffix)]
    return word


def quoted(text: str) -> list[str]:
    """Return the quotations in a text, without their marks, in order."""
    found: list[str] = []
    open_for_ever: set[str] = set()
    index = 0
    while index < len(text):
        closing = None if text[index] in open_for_ever else _QUOTES.get(text[index])
        end = text.find(closing, index + 1) if closing else -1
        if closing and end > index + 1:
            found.append(text[index + 1 : end])
            index = end
        elif closing and end < 0:
            open_for_ever.add(text[index])  # searching for its end again would take quadratic time
        index += 1
    return found


def numbers(text: str) -> list[float]:
    """Return the numbers in a text, whole ones as int. Dates and the digits inside names are not numbers."""
    plain = DATE.sub(" ", text)
    found: list[float] = []
    for match in _NUMBER.finditer(plain):
        digits = match[0].replace(",", "").replace("\u2212", "-")
        found.append(float(digits) if "." in digits or len(digits) > 18 else int(digits))
    return found


def percentages(text: str) -> list[float]:
    """Return the numbers before a percent sign or the word percent, and fractions written as words: a third."""
    found = [(m.start(), float(m[1])) for m in _PERCENT.finditer(text)]
    found += [(m.start(), _FRACTIONS[(m[1] or m[2]).lower()]) for m in _FRACTION.finditer(text)]
    return [value for _, value in sorted(found)]


def amounts(text: str) -> dict[str, float]:
    """Return amounts with the words before each as their names: Rent: 12,000; Travel 5k. Percentages are none."""
    found: dict[str, float] = {}
    for match in _SPENT.finditer(text):  # 12k on rent
        if len(found) < _MOST_AMOUNTS:
            found.setdefault(match[3][:1].upper() + match[3][1:], float(match[1].replace(",", "")) * _size(match[2]))
    if len(found) > 1:
        return found
    found.clear()
    for match in _AMOUNT.finditer(text):
        words_before = [each for each in match[1].split() if each.lower() not in _NO_LINES]
        if words_before and len(found) < _MOST_AMOUNTS:
            name = " ".join(words_before[-3:])
            size = {"k": 1e3, "m": 1e6}.get((match[3] or "").lower(), 1.0)
            found.setdefault(name[:1].upper() + name[1:], float(match[2].replace(",", "")) * size)
    return found


def selections(text: str) -> list[str]:
    """Return the conditions in a text, written as ``where column = value``, as "column = value"."""
    found = []
    for match in _WHERE.finditer(text):
        inside = quoted(match[2]) if match[2][:1] in _QUOTES else []
        value = inside[0] if inside else match[2].split()[0].strip(",;.?!")
        if value:
            found.append(f"{match[1].strip()} = {value}")
    return found


def names(text: str) -> list[str]:
    """Return the words that look like an identifier: with a digit and a letter or sign, as A-17, #4512."""
    dates = set(DATE.findall(text))
    found = []
    for match in _NAME.finditer(text):
        name = match[0].strip("/-")
        after = text[match.end() : match.end() + 1]
        digits = any(each.isdigit() for each in name)
        if digits and not name.isdigit() and name not in dates and after != "%":
            found.append(name)
    return found


def pairs(text: str) -> dict[str, str]:
    """Return the pairs written as ``name=value`` or ``name: value``; a value is a quotation or the next word."""
    found: dict[str, str] = {}
    for match in _PAIR.finditer(text):
        rest = text[match.end() : match.end() + 200]
        inside = quoted(rest) if rest[:1] in _QUOTES else []
        first = rest.split(None, 1)
        value = inside[0] if inside else (first[0].strip(",;.?!") if first else "")
        if value:
            found.setdefault(match[1].lower(), value)
    return found


def spelled(text: str) -> str:
    """Return a text with the words one to twelve as digits."""
    return _SPELLED.sub(lambda match: str(_COUNTS[match[0].lower()]), text)


def cash_flows(text: str) -> list[tuple[str, list[float]]]:
    """Return the lists of at least two amounts, each with the name before its colon (or "Scenario 1", …), in order.

    An outlay is negative: invest 100, get 60 and 70. Plans in words are such lists too: costs 1000 and returns 600 a
    year for two years. Empty if a number counts years, or anything else than money: such a text says what no list does.
    """
    found = plans(text)
    if found:
        return found
    pieces: list[str] = []
    for piece, joined in _pieces(_RATE.sub(" ", text)):
        lead = re.split(r"[-+\u2212]?\d", piece, maxsplit=1)[0]
        if joined and pieces and not (re.search(r"[:=]\s", piece) or _list_name(lead)):
            pieces[-1] += f", {piece}"
        else:
            pieces.append(piece)
    for piece in pieces:
        *before, values = re.split(r"[:=]\s", piece)
        if _COUNTED.search(values):
            return []
        figures = _signed(values)
        if len(figures) >= 2:
            name = _list_name(before[-1]) if before else _list_name(values)
            found.append((name or f"Scenario {len(found) + 1}", figures))
    return found


def _pieces(text: str) -> list[tuple[str, bool]]:
    """Return the parts of a text between signs that end a list, each with whether it may belong to the one before."""
    found, start, joined = [], 0, False
    for match in _LIST.finditer(text):
        found.append((text[start : match.start()], joined))
        start, joined = match.end(), match[0].strip().lower() in ("and", "or")
    return [*found, (text[start:], joined)]


def _signed(text: str) -> list[float]:
    """Return the amounts in a text; after a word for an outlay they are negative, until one for a return."""
    found: list[float] = []
    outlay, start = False, 0
    for match in _NUMBER.finditer(text):
        for word in words(text[start : match.start()]):
            outlay = word in _OUTLAYS or (outlay and word not in _RETURNS)
        start = match.end()
        found += [-abs(each) if outlay else each for each in numbers(match[0])]
    return found


def without_plans(text: str) -> str:
    """Return a text without the plans in words that it describes."""
    return _PLAN.sub(" ", text)


def plans(text: str) -> list[tuple[str, list[float]]]:
    """Return the plans that a text describes by an outlay, and a return for a number of periods."""
    found: list[tuple[str, list[float]]] = []
    for match in _PLAN.finditer(text):
        outlay, income = (float(each.replace(",", "")) for each in (match[2], match[4]))
        outlay, income = outlay * _size(match[3]), income * _size(match[5])
        said = match[6].lower()
        periods = int(said) if said.isascii() and said.isdigit() else _COUNTS.get(said, 0)
        if 0 < periods <= _MOST_PERIODS:
            name = " ".join(each[:1].upper() + each[1:] for each in (match[1] or "").split())
            flows = [-outlay, *[income] * periods]
            found.append((name or f"Scenario {len(found) + 1}", [int(e) if e.is_integer() else e for e in flows]))
    return found


def _size(letter: str | None) -> float:
    return {"k": 1e3, "m": 1e6}.get((letter or "").lower(), 1.0)


def _list_name(lead: str) -> str:
    """Return the name before the numbers; empty if it does not look like one, such as "Compare scenarios"."""
    named_by = re.split(r"[,:.]\s", re.split(r"[-+\u2212]?\d", lead.strip(), maxsplit=1)[0].strip(" ,:="))[-1].split()
    if len(named_by) > 3:
        named_by = named_by[-1:]
    named = bool(named_by) and named_by[0][:1].isupper() and not _NO_NAMES & {each.lower() for each in named_by}
    return " ".join(named_by) if named else ""


def sql(text: str) -> str | None:
    """Return a ```` ```sql ```` block, or all text from SELECT, WITH … SELECT, DELETE FROM or similar on; None."""
    start = text.find("```")
    if start >= 0:
        end = text.find("```", start + 3)
        block = text[start + 3 : end if end > 0 else len(text)]
        block = block.removeprefix("sql").removeprefix("SQL").strip()
        if _SQL.match(block) or _WRITES.match(block):
            return block.rstrip(";").strip()
    match = _SQL.search(text)
    if match is None:
        writes = _WRITES.search(text)
        return text[writes.start() :].strip().rstrip("`;?").strip() if writes else None
    rest = text[match.start() :].strip().rstrip("`;?").strip()
    lower = rest.lower()
    if lower.startswith("select") and (" from " in lower.replace("\n", " ")):
        return rest
    return rest if lower.startswith("with") and " as (" in lower.replace("\n", " ") and "select" in lower else None


def has_table(text: str) -> bool:
    """Whether a text has a table: lines that follow each other with as many cells each, between tabs, bars, semicolons
    or commas. Two such lines are one, but three if a comma divides them in two, as it may divide a sentence.
    """
    lines = [each.strip() for each in text[:MAX_TABLE].splitlines()]
    for sign, few in (("\t", 2), ("|", 2), (";", 2), (",", 3)):
        length, cells = 0, 0
        for line in lines:
            found = 0 if len(line) > MAX_LINE or line.endswith((".", "!", "?", ",")) else line.count(sign)
            length = length + 1 if found and found == cells else 1 if found else 0
            cells = found
            if length >= (2 if cells > 1 else few):
                return True
    return False


def json_object(text: str) -> dict[str, Any]:
    """Return the first JSON object in a text; empty if there is none."""
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end < start:
        return {}
    try:
        value = msgspec.json.decode(text[start : end + 1])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
