"""`answer_question`: a tool that answers plain questions about an attached table, or asks back."""

from typing import Annotated, Any

from attrs import evolve

from understudy.tools.analysis import capital, number_of_rows, rows_step
from understudy.tools.chart_data import Points
from understudy.tools.charts import chart_result
from understudy.tools.questions.answer import Answered, AskedBack, Outcome
from understudy.tools.result import ANALYSIS, DRILL_DOWN, NextStep, ToolResult
from understudy.tools.schema import Param
from understudy.tools.tables import TableId, ask_table, attached
from understudy.tools.tool import ToolContext, tool


@tool(retry_safe=True)
async def answer_question(
    file_id: TableId,
    question: Annotated[str, Param("The question, in plain words.", format="question")],
    context: ToolContext,
    before: Annotated[str | None, Param("The question that it continues.", format="earlier-question")] = None,
) -> ToolResult:
    """Answer a question about an attached table in plain English or German: totals, averages, counts, extremes, shares,
    groups, rows with conditions, and charts of them. It asks back unless all words have one clear meaning."""
    file = await attached(context, file_id)
    outcome = await ask_table(file, context.owner, "question", (file.name, question, before), Outcome)
    answered = outcome.answered
    if answered is None:
        result = _asked(outcome.asked or AskedBack((), ()), file.name)
    elif answered.chart is not None:
        points = await ask_table(file, context.owner, "chart", answered.chart, Points)
        return await chart_result(
            evolve(points, notes=(*points.notes, *outcome.notes)), context.owner, answered.read_as
        )
    else:
        result = _answered(answered, file.name)
    if not outcome.notes:
        return result
    value = {**result.value, "notes": list(outcome.notes)}
    return evolve(result, value=value, summary=" ".join([f"{result.summary.rstrip('.')}.", *outcome.notes]))


def _asked(asked: AskedBack, file: str) -> ToolResult:
    if asked.unplaced:
        words = ", ".join(f"“{each[:40]}”" for each in asked.unplaced[:6])
        said = f"I could not place {words} in {file}, so I have not answered."
    elif asked.ambiguous:
        said = "That may mean several things, so I have not answered."
    else:
        said = f"I know all words of that, but not how they belong together in {file}, so I have not answered."
    if asked.readings:
        said += f" Did you mean: {'; or: '.join(asked.readings)}?"
    steps = [NextStep(capital(each)[:200], f"{capital(each)} in {file}") for each in asked.readings]
    value = {"unplaced": list(asked.unplaced), "readings": list(asked.readings)}
    return ToolResult(value, said, kind=ANALYSIS, next_steps=steps)


def _answered(answered: Answered, file: str) -> ToolResult:
    read_as = f"{capital(answered.read_as)}, {number_of_rows(answered.counted)}"
    value: dict[str, Any] = {
        "read_as": read_as,
        "question": answered.read_as,
        "sql": answered.sql,
        "columns": [{"name": each} for each in answered.columns],
        "rows": answered.rows,
    }
    if answered.more:
        value["note"] = f"only the first {len(answered.rows):,} rows are shown"
    single = len(answered.rows) == len(answered.columns) == 1
    if single:
        ((figure,),) = answered.rows
        said = f"{read_as}: {'no value' if figure is None else _shown(figure)}"
    elif not answered.rows:
        said = f"{read_as}: there is no such row"
    else:
        said = f"{read_as}; {value['note']}" if answered.more else read_as
    return ToolResult(value, said, kind=ANALYSIS if answered.figures else DRILL_DOWN, next_steps=_steps(answered, file))


def _steps(answered: Answered, file: str) -> list[NextStep]:
    """Offer a chart of groups, the rows of the first ones, and the rows behind a figure."""
    steps = []
    if answered.grouped_by is not None and len(answered.rows) > 1:
        if answered.chartable:
            steps.append(NextStep("As a chart", f"Chart {answered.read_as} in {file}"))
        groups = [row[0] for row in answered.rows[:2] if isinstance(row[0], str) and row[0].strip()]
        steps += [rows_step(file, answered.grouped_by, each) for each in groups]
    elif answered.figures and answered.rows_where:
        steps.append(NextStep("The rows", f"Show the rows of {file} where {answered.rows_where}"))
    return steps


def _shown(value: Any) -> str:
    """Return a figure for readers: with thousands, and without digits that only a float has."""
    return f"{value:,.10g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
