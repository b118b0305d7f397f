"""`profile_table` and `query_table`: tools for an attached table."""

from typing import Annotated, Any, Final

from understudy.tools import profiling, queries
from understudy.tools.errors import ToolError
from understudy.tools.result import ANALYSIS, DRILL_DOWN, ToolResult
from understudy.tools.schema import Param
from understudy.tools.table_process import ask_table, attached
from understudy.tools.tool import ToolContext, tool

MAX_ROWS: Final = 1_000

TableId = Annotated[str, Param("Id of an attached CSV, TSV, JSON, JSON Lines or Parquet file.", format="table-id")]


@tool(retry_safe=True)
async def profile_table(file_id: TableId, context: ToolContext) -> ToolResult:
    """Describe an attached table: rows, columns, types, missing and distinct values, ranges, averages, quartiles,
    most frequent values, and rows that occur more than once."""
    file = await attached(context, file_id)
    found = await ask_table(file, context.owner, "profile", (), dict[str, Any])
    return ToolResult({"file": file.name, **found}, f"{file.name}: {profiling.sentence(found)}", kind=ANALYSIS)


@tool(retry_safe=True)
async def query_table(
    file_id: TableId,
    sql: Annotated[str, Param("One SELECT, in DuckDB's SQL, over the table called data.", format="sql")],
    context: ToolContext,
    limit: Annotated[int, Param("The most rows to return, 1 to 1000.")] = MAX_ROWS,
) -> ToolResult:
    """Run one reading SQL query (SELECT, WITH, VALUES, DESCRIBE or SUMMARIZE) over an attached table, which is called
    data."""
    if not 1 <= limit <= MAX_ROWS:
        raise ToolError("invalid_arguments", f"limit must be between 1 and {MAX_ROWS:,}, not {limit:,}.")
    file = await attached(context, file_id)
    answer = await ask_table(file, context.owner, "query", (sql, limit), queries.Answer)
    value = {
        "columns": [{"name": column.name, "type": column.type} for column in answer.columns],
        "rows": answer.rows,
        "row_count": len(answer.rows),
        "truncated": bool(answer.truncated),
        "note": answer.truncated,
    }
    single = len(answer.rows) == len(answer.columns) == 1  # one figure, not rows of a table
    return ToolResult(value, _sentence(answer), kind=ANALYSIS if single else DRILL_DOWN)


def _sentence(answer: queries.Answer) -> str:
    rows, columns = len(answer.rows), len(answer.columns)
    if rows == 1 and columns == 1:
        return f"{answer.columns[0].name}: {_short(answer.rows[0][0])}"
    size = f"{rows:,} row{'' if rows == 1 else 's'} of {columns:,} column{'' if columns == 1 else 's'}"
    return f"{size}; {answer.truncated}" if answer.truncated else size


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 120 else text[:119] + "…"
