"""Plans a request: the tools to call and their arguments, the questions to ask, the colleague to hand over to."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import evolve, field, frozen

from understudy.models.model import AgentCard, Handoff, ToolCard
from understudy.models.offline import scan
from understudy.models.offline.arithmetic import SPOKEN
from understudy.models.offline.filling import fill
from understudy.models.offline.fitting import ANALYSING, ASIDE, MEANT, ToolPool, best, features, fit, matched, stems
from understudy.models.offline.followup import changed, inherited
from understudy.models.offline.placing import is_covered, is_question_tool, unplaced
from understudy.models.offline.request import MISSING, REQUESTING, Request, Source, is_table, plain_schema
from understudy.models.offline.roles import find_roles

# Calls planned for one message; further requests in it are ignored.
MAX_CALLS: Final = 6
# By how much a colleague's score must exceed one's own for a handoff.
_MARGIN: Final = 1.0
# By how much the score of a plan with calls may be below that of one with only questions.
_ACTING: Final = 2.0
# The score of an agent that the user names: more than that of any single tool.
_CALLED: Final = 6.0
MAX_QUESTION: Final = 1_000
"""Characters of a message that is taken for a question about a table; its tool says what is too long."""
_SAID: Final = (("repeat",), ("echo",), ("say",))
_SENTENCES: Final = re.compile(
    r"[?!;\n]+\s*(?:(?:and|then|also)\s)*|\.\s+(?:(?:and|then|also)\s)+|\.\s+(?=(?:show|list|how|what|which|give|chart)\b)",
    re.IGNORECASE,
)
"""Ends of sentences of which each is a question of its own; a point may stand in a name."""
_SOCIAL: Final = frozenset(
    scan.words("hallo moin greetings morning evening afternoon good danke thx cheers ok okay yes no")
)
_ROWS: Final = frozenset({"row", "rows", "table", "column", "columns", "record", "records", "zeilen", "tabelle"})
_GIVING: Final = frozenset({"here", "attached", "below", "this"})
"""First words of a sentence that says that there is a table."""
_SAMPLES: Final = frozenset([scan.stem("sample")])
_SAMPLE: Final = (
    "The page has sample sales data: choose “Profile sample sales and chart them by month” in a new chat or in the "
    "command palette (Ctrl+K), and send the message."
)
_WRITTEN_TABLE: Final = (
    "I need a file for this: I do not read tables in the text of a message. Please save it as a CSV file, and attach "
    "that to your message."
)
_TRANSFER: Final = frozenset(
    map(scan.stem, ["ask", "hand", "handover", "pass", "transfer", "talk", "speak", "connect", "switch", "forward"])
)


@frozen
class Planned:
    """A tool call to make. `about` names its main arguments in a few words, for readers; `words` are those of the
    request that fit the tool. `nearest`: no tool clearly fits, and this is the nearest. `again`: it is the last call
    with other arguments."""

    tool: ToolCard
    arguments: Mapping[str, Any] = field(repr=False)
    about: str = ""
    words: tuple[str, ...] = ()
    nearest: bool = False
    again: bool = False


@frozen
class CallPlan:
    """The plan for a request. `questions` ask for missing arguments; `fit` is the sum of the chosen tools' scores."""

    calls: tuple[Planned, ...] = ()
    questions: tuple[str, ...] = ()
    fit: float = 0.0

    @property
    def standing(self) -> float:
        """The score by which agents are compared: one who can act is preferred to one who must ask, unless that one
        fits much better."""
        return self.fit + _ACTING * bool(self.calls)


def make_plan(request: Request, tools: Sequence[ToolCard], pool: ToolPool) -> CallPlan:
    """Plan the calls for a request: for each clause the best tool, if one fits and every word has a part in the call.

    What no other tool does of a request about a table is a question for the tool that answers such.
    """
    questions = next((each for each in tools if is_question_tool(each)), None)
    if questions is not None and not request.look(scan.sql, request.near):
        tools = [each for each in tools if each is not questions]
        if Source("", request).tables:
            tools = [each for each in tools if not is_covered(each)]
            if (plan := _with_question(request, questions, tools, pool)) is not None:
                return plan
    plan = _looking_first(_plan(request, tools, pool), request, tools)
    if questions is not None and not (plan.calls or request.files) and request.look(scan.has_table, request.text):
        return CallPlan((), (_WRITTEN_TABLE,), MEANT + _MARGIN)
    return plan


def _plan(request: Request, tools: Sequence[ToolCard], pool: ToolPool) -> CallPlan:
    parts = request.clauses or ("",)
    plan = _plan_clauses(request, tools, pool, parts)
    if plan.fit < MEANT and len(parts) > 1:
        plan = _plan_clauses(request, tools, pool, (request.instruction,))
    if plan.fit < MEANT and request.near not in parts and not request.has_body:
        # Where a text follows the instruction, its words ask for nothing.
        plan = _plan_clauses(request, tools, pool, (request.near,))
    if request.is_elliptic and (again := changed(request, tools)) is not None:
        card, arguments, named = again
        if named or not (_names_another(plan, request) or _says_more(plan, request, arguments)):
            plan = _again(request, card, arguments)
    if plan.fit < MEANT:
        plan = _nearest(request, tools, pool) or plan
    return plan


def _with_question(request: Request, card: ToolCard, others: Sequence[ToolCard], pool: ToolPool) -> CallPlan | None:
    """Plan a question about a table: the part of a request that no other tool does. None if no part is one."""
    before = _question_before(request, card)
    text = request.text[:MAX_QUESTION].strip()
    calls: list[Planned] = []
    rest: list[tuple[int, int]] = []
    start, fitted = 0, 0.0
    for clause in request.clauses:
        at = text.find(clause, start)
        if at < 0:
            return None  # the instruction is not all of the beginning
        if not start and _narrows(text[:at], request):
            rest.append((0, at))
        start = at + len(clause)
        plan = _plan_clauses(request, others, pool, (clause,))
        if plan.calls and not plan.questions and all(_is_meant(each.tool, clause, request) for each in plan.calls):
            calls += [each for each in plan.calls if each not in calls]
            fitted = max(fitted, plan.fit)
        else:
            rest.append((at, start))
    whole = _plan_clauses(request, others, pool, (request.instruction,)) if rest and not calls else None
    if whole is not None and whole.calls and not whole.questions and len(request.clauses) > 1:
        meant = [_is_meant(each.tool, request.instruction, request) for each in whole.calls]
        if all(meant):
            return whole
    if not rest:
        return CallPlan(tuple(calls[:MAX_CALLS]), (), max(fitted, MEANT)) if calls else None
    question = text[rest[0][0] : rest[-1][1]] if calls else text
    about = request.attached or before is not None or _mentions_table(request, question)
    if not (about or _is_about_table(request)):
        return None
    table = Source(question, request).table()
    if table is None or not set(scan.words(question)) - ASIDE - _SOCIAL:
        return None
    properties = card.parameters.get("properties", {})
    names = {plain_schema(each).get("format"): name for name, each in properties.items()}
    for each in _SENTENCES.split(question) if before is None else [question]:
        said = scan.words(each)
        if not set(said) - ASIDE - _SOCIAL or (said[0] in _GIVING and not _narrows(each, request)):
            continue
        arguments = {names["table-id"]: table.id, names["question"]: each.strip()}
        if before is not None and "earlier-question" in names:
            arguments[names["earlier-question"]] = before
        calls.append(Planned(card, arguments, table.name, again=before is not None))
    return CallPlan(tuple(calls[:MAX_CALLS]), (), max(fitted, _ACTING + MEANT))


def _narrows(text: str, request: Request) -> bool:
    """Whether what stands before a request may change it, and does not only say that there is a table."""
    names = {word for each in request.files for word in scan.words(each.name)}
    return bool(set(scan.words(text)) - ASIDE - _SOCIAL - _ROWS - names - {"attached", "data", "file", "files"})


def _is_meant(card: ToolCard, clause: str, request: Request) -> bool:
    """Whether a clause means a tool though a table is at hand: by a word of its name, or because it is arithmetic."""
    known = features(card)
    return bool(known.name & request.look(stems, clause)) or "expression" in known.formats


def _question_before(request: Request, card: ToolCard) -> str | None:
    """Return the question that a message continues: “and by month?”, “only south”. It is written as it was read."""
    last = request.earlier[-1] if request.earlier else None
    if last is None or last.tool != card.name or not last.ok or not request.refers_back:
        return None
    read = last.value.get("question") if isinstance(last.value, dict) else None
    return read if isinstance(read, str) else None


def _mentions_table(request: Request, text: str) -> bool:
    """Whether a text says a column of the conversation's tables, or that it is about rows or a table."""
    columns = Source("", request).all_columns
    return bool(request.look(find_roles, text, columns).mentioned) or bool(_ROWS & set(scan.words(text)))


def _again(request: Request, card: ToolCard, arguments: Mapping[str, Any]) -> CallPlan:
    """Plan the last call once more, with other arguments."""
    properties = card.parameters.get("properties", {})
    about = _about(properties, {name: arguments[name] for name in properties if name in arguments}, request)
    return CallPlan((Planned(card, arguments, about, again=True),), (), _CALLED)


def _names_another(plan: CallPlan, request: Request) -> bool:
    """Whether a plan has a call of a tool other than the last one, by a word of the tool's name."""
    last, asked = request.earlier[-1].tool, request.look(stems, request.instruction)
    return any(each.tool.name != last and features(each.tool).name & asked for each in plan.calls)


def _says_more(plan: CallPlan, request: Request, again: Mapping[str, Any]) -> bool:
    """Whether a plan for another tool has more new arguments from the message than the last call made again."""
    last = request.earlier[-1]
    renewed = sum(value != last.arguments.get(name) for name, value in again.items())
    return any(
        each.tool.name != last.tool and len(each.arguments.keys() - last.arguments.keys()) > renewed
        for each in plan.calls
    )


def _is_about_table(request: Request) -> bool:
    """Whether the last result of the conversation is one about a table, and the message a question or a request."""
    tables = {each.id for each in request.files if is_table(each)}
    last = request.earlier[-1].arguments.values() if request.earlier else ()
    return bool(tables & set(map(str, last))) and bool(REQUESTING & set(scan.words(request.text[:500])))


def _nearest(request: Request, tools: Sequence[ToolCard], pool: ToolPool) -> CallPlan | None:
    """Plan the nearest tool for a request to analyse something, if no tool clearly fits: one that analyses too, or has
    a word of the request, and needs no argument that the request lacks. None if there is none.

    A request with a table attached is one to analyse the table, whatever its words.
    """
    source = Source(request.instruction, request)
    asked = ANALYSING in request.look(stems, request.instruction)
    said = set(scan.words(request.instruction)) - ASIDE - _SOCIAL
    about_table = (request.attached and source.tables and said) or _is_about_table(request)
    if not asked and not about_table:
        return None
    found: list[tuple[float, Planned]] = []
    for card in tools:
        known, score = features(card), fit(card, source, pool)
        analyses = ANALYSING in known.name | known.words
        if "text" in known.formats and not request.has_body:
            continue  # the request itself is no text to work on
        if not asked and not (analyses and "table-id" in known.formats):
            continue
        planned, _ = _fill_all(card, Source(request.instruction, request))
        if planned is not None and (analyses or score > 0):
            found.append((score + analyses, planned))
    if not found:
        return None
    _, planned = max(found, key=lambda each: each[0])
    return CallPlan((evolve(planned, nearest="table-id" not in features(planned.tool).formats),), (), MEANT)


def _plan_clauses(request: Request, tools: Sequence[ToolCard], pool: ToolPool, clauses: Sequence[str]) -> CallPlan:
    calls: list[Planned] = []
    questions: list[str] = []
    ignored: list[str] = []
    total = 0.0
    for clause in clauses[:MAX_CALLS]:
        card, score = best(tools, Source(clause, request), pool)
        if card is None or score < MEANT or _taken(clause, request, calls):
            ignored.append(clause)
            continue
        total += score
        # A second call of a tool needs arguments of its own: "price 25 and cost 15" is one call, "2+3 and 4*5" are two.
        repeated = any(each.tool == card for each in calls)
        planned, asked = _fill_all(card, Source(clause, request, alone=repeated))
        if planned is not None and (words := unplaced(card, planned.arguments, clause, request)):
            asked, planned = [_unplaced_question(card, planned, words)], None
        if repeated and planned is None:
            continue
        if planned is None:
            questions += [each for each in asked if each not in questions]
        elif not any(each.tool == card and planned.arguments.items() <= each.arguments.items() for each in calls):
            # A clause that only says more of a call replaces it: "join both and show the revenue by country".
            calls = [e for e in calls if e.tool != card or not e.arguments.items() <= planned.arguments.items()]
            calls.append(planned)
    if calls and all(each.tool.parameters.get("properties", {}).get("expression") for each in calls):
        left = [
            each for each in ignored if scan.words(each)[:1] not in _SAID and set(scan.words(each)) - ASIDE - SPOKEN
        ]
        questions += [f"I did not take in “{each[:80]}”: I have no tool for it." for each in left]
    return CallPlan(tuple(calls), tuple(questions[:1] if len(calls) == 0 else questions), total)


def _taken(clause: str, request: Request, calls: Sequence[Planned]) -> bool:
    """Whether all numbers of a clause, of which it has some, are arguments of the calls planned so far."""
    numbers = request.look(scan.numbers, clause)
    given = [value for each in calls for value in each.arguments.values() if isinstance(value, int | float)]
    return bool(numbers) and all(each in given for each in numbers)


def _fill_all(card: ToolCard, source: Source) -> tuple[Planned | None, list[str]]:
    properties: Mapping[str, Mapping[str, Any]] = card.parameters.get("properties", {})
    required = set(card.parameters.get("required", ()))
    given = source.request.look(scan.json_object, source.request.near)
    arguments: dict[str, Any] = {}
    questions: list[str] = []
    for name in sorted(properties, key=lambda each: each not in required):
        schema = properties[name]
        value = given[name] if name in given else fill(name, schema, source, required=name in required)
        if value is MISSING and source.request.refers_back and not source.alone:
            value = inherited(name, plain_schema(schema), source.request, required=name in required)
        if value is not MISSING:
            arguments[name] = value
            if isinstance(value, str):
                source.used.add(value)
        elif name in required:
            questions.append(_question(card, name, plain_schema(schema), source))
    if questions:
        return None, questions[:1]
    ordered = {name: arguments[name] for name in properties if name in arguments}
    return Planned(card, ordered, _about(properties, ordered, source.request), matched(card, source.clause)), []


def _looking_first(plan: CallPlan, request: Request, tools: Sequence[ToolCard]) -> CallPlan:
    """If a question is open only because a table's columns are unknown, plan to profile the table first."""
    unknown = [each for each in request.files if is_table(each) and each.columns is None]
    looking = next((each for each in tools if "profil" in " ".join(features(each).name)), None)
    if not plan.questions or not unknown or looking is None or request.results:
        return plan
    planned, _ = _fill_all(looking, Source(request.instruction, request))
    if planned is None or any(each.tool == looking for each in plan.calls):
        return plan
    return CallPlan((*plan.calls, planned), (), plan.fit)


def colleague_plan(request: Request, colleague: AgentCard, pool: ToolPool) -> CallPlan:
    """Return a colleague's plan. A colleague that the user names ("ask insights …") fits in any case."""
    plan = make_plan(request, colleague.tools, pool)
    asked = request.look(stems, request.instruction)
    named = stems(f"{colleague.name} {colleague.title}".replace("_", " ")) & asked and _TRANSFER & asked
    return evolve(plan, fit=plan.fit + _CALLED) if named else plan


def choose_colleague(own: CallPlan, plans: Sequence[tuple[AgentCard, CallPlan]]) -> Handoff | None:
    """Return a handoff to the colleague with a clearly higher score, the earlier one of equals; None without one."""
    if not plans:
        return None
    colleague, plan = max(plans, key=lambda each: each[1].standing)
    if plan.fit < MEANT or plan.standing <= own.standing + _MARGIN:
        return None
    names = dict.fromkeys(each.tool.name.replace("_", " ") for each in plan.calls)
    listed = f": {', '.join(names)}" if names else ""
    return Handoff(colleague.name, f"{colleague.title or colleague.name} has the tools for this{listed}.")


def _about(properties: Mapping[str, Mapping[str, Any]], arguments: Mapping[str, Any], request: Request) -> str:
    """Return the main arguments in a few words: file names in place of ids, no long texts."""
    names = {each.id: each.name for each in request.files}
    named = []
    for name, value in arguments.items():
        shape = plain_schema(properties[name])
        if isinstance(value, str) and "text" not in shape.get("format", "") and len(value) <= 80:
            named.append(names.get(value, value))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            named.append(f"{name.replace('_', ' ')} {value:g}")
    return ", ".join(named[:4])


def _question(card: ToolCard, name: str, shape: Mapping[str, Any], source: Source) -> str:
    """Return the question to the user for a missing argument."""
    doing = card.name.replace("_", " ")
    match shape.get("format"):
        case "table-id":
            asked = "I need a table for this: please attach a CSV, TSV, JSON or Parquet file to your message."
            samples = _SAMPLES & source.request.look(stems, source.request.instruction)
            return f"{asked} {_SAMPLE}" if samples else asked
        case "file-id":
            return "I need a file for this: please attach it to your message."
        case "expression":
            return "What shall I calculate? I need `expression`, such as `2 + 3` or `15% of 80`."
        case "sql":
            return f"For {doing} I need `sql`: write a SELECT over the table `data`.{_listed(source)}"
        case "column":
            return f"Which column shall I take for `{name}`?{_listed(source)}"
        case "cash-flows":
            return f"For {doing} I need `{name}`, written as “Build: -1000, 400, 500; Buy: -700, 300, 300”."
    said = f" ({shape['description'].rstrip('.')})" if shape.get("description") else ""
    choice = f" It is one of: {', '.join(str(each) for each in shape['enum'])}." if "enum" in shape else ""
    return f"For {doing} I need `{name}`{said}.{choice} What is it?"


def _unplaced_question(card: ToolCard, planned: Planned, words: Sequence[str]) -> str:
    """Say which words have no part in a call, so that it was not made."""
    listed = ", ".join(f"“{each[:40]}”" for each in words[:6])
    doing = card.name.replace("_", " ")
    nearest = f"{doing} on {planned.about}" if planned.about else doing
    return (
        f"I could not place {listed} for {doing}, so I have not done it. Without {'it' if len(words) == 1 else 'them'} "
        f"I would use {nearest}. Can you say it in other words?"
    )


def _listed(source: Source) -> str:
    table = source.table()
    if table is None or not table.columns:
        return ""
    shown = ", ".join(f"`{each}`" for each in table.columns[:30])
    return f" The columns of {table.name} are {shown}."
