"""Plans a request: the tools to call and their arguments, the questions to ask, the colleague to hand over to."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import evolve, field, frozen

from understudy.models.model import AgentCard, Handoff, ToolCard
from understudy.models.offline import scan
from understudy.models.offline.filling import fill
from understudy.models.offline.fitting import ANALYSING, MEANT, ToolPool, best, features, fit, matched, stems
from understudy.models.offline.followup import changed, inherited
from understudy.models.offline.request import MISSING, Request, Source, is_table, plain_schema

# Calls planned for one message; further requests in it are ignored.
MAX_CALLS: Final = 6
# By how much a colleague's score must exceed one's own for a handoff.
_MARGIN: Final = 1.0
# By how much the score of a plan with calls may be below that of one with only questions.
_ACTING: Final = 2.0
# The score of an agent that the user names: more than that of any single tool.
_CALLED: Final = 6.0
_SAMPLES: Final = frozenset([scan.stem("sample")])
_SAMPLE: Final = (
    "The page has sample sales data: choose “Profile sample sales and chart them by month” in a new chat or in the "
    "command palette (Ctrl+K), and send the message."
)
_REQUESTING: Final = frozenset(
    "what which how who where when why is are does do did show list compare find give tell draw explain".split()  # noqa: SIM905 (words read better as words)
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


def make_plan(request: Request, tools: Sequence[ToolCard], pool: ToolPool) -> CallPlan:
    """Plan the calls for a request: for each clause the best tool, if one fits."""
    parts = request.clauses or ("",)
    plan = _plan_clauses(request, tools, pool, parts)
    if plan.fit < MEANT and len(parts) > 1:
        plan = _plan_clauses(request, tools, pool, (request.instruction,))
    if plan.fit < MEANT and request.near not in parts:
        plan = _plan_clauses(request, tools, pool, (request.near,))
    if request.is_elliptic and (again := changed(request, tools)) is not None:
        card, arguments, named = again
        if named or not (_names_another(plan, request) or _says_more(plan, request, arguments)):
            plan = _again(request, card, arguments)
    if plan.fit < MEANT:
        plan = _nearest(request, tools, pool) or plan
    return _looking_first(plan, request, tools)


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
    return bool(tables & set(map(str, last))) and bool(_REQUESTING & set(scan.words(request.text[:500])))


def _nearest(request: Request, tools: Sequence[ToolCard], pool: ToolPool) -> CallPlan | None:
    """Plan the nearest tool for a request to analyse something, if no tool clearly fits: one that analyses too, or has
    a word of the request, and needs no argument that the request lacks. None if there is none.

    A request with a table attached is one to analyse the table, whatever its words.
    """
    source = Source(request.instruction, request)
    asked = ANALYSING in request.look(stems, request.instruction)
    about_table = (request.attached and source.tables and scan.words(request.instruction)) or _is_about_table(request)
    if not asked and not about_table:
        return None
    found: list[tuple[float, Planned]] = []
    for card in tools:
        known, score = features(card), fit(card, source, pool)
        analyses = ANALYSING in known.name | known.words
        if "text" in known.formats and request.body == request.text.strip():
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
    total = 0.0
    for clause in clauses[:MAX_CALLS]:
        card, score = best(tools, Source(clause, request), pool)
        if card is None or score < MEANT or _taken(clause, request, calls):
            continue
        total += score
        # A second call of a tool needs arguments of its own: "price 25 and cost 15" is one call, "2+3 and 4*5" are two.
        repeated = any(each.tool == card for each in calls)
        planned, asked = _fill_all(card, Source(clause, request, alone=repeated))
        if repeated and planned is None:
            continue
        if planned is None:
            questions += [each for each in asked if each not in questions]
        elif not any(each.tool == card and planned.arguments.items() <= each.arguments.items() for each in calls):
            # A clause that only says more of a call replaces it: "join both and show the revenue by country".
            calls = [e for e in calls if e.tool != card or not e.arguments.items() <= planned.arguments.items()]
            calls.append(planned)
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
    # One who can act is preferred to one who must ask, unless that one fits much better.
    colleague, plan = max(plans, key=lambda each: each[1].fit + _ACTING * bool(each[1].calls))
    if plan.fit < MEANT or plan.fit <= own.fit + _MARGIN:
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
            return (
                "What would you like to know about the table? I need `sql`: ask as in “total sales by region” "
                f"or “how many rows”, or write a SELECT over the table `data`.{_listed(source)}"
            )
        case "column":
            return f"Which column shall I take for `{name}`?{_listed(source)}"
        case "cash-flows":
            return f"For {doing} I need `{name}`, written as “Build: -1000, 400, 500; Buy: -700, 300, 300”."
    said = f" ({shape['description'].rstrip('.')})" if shape.get("description") else ""
    choice = f" It is one of: {', '.join(str(each) for each in shape['enum'])}." if "enum" in shape else ""
    return f"For {doing} I need `{name}`{said}.{choice} What is it?"


def _listed(source: Source) -> str:
    table = source.table()
    if table is None or not table.columns:
        return ""
    shown = ", ".join(f"`{each}`" for each in table.columns[:30])
    return f" The columns of {table.name} are {shown}."
