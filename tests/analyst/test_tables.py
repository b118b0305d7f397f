"""`profile_table` and `query_table`: DuckDB over files, in processes that are bounded and killed in time."""

import json
import os
import resource
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from analyst import queries
from analyst.analysis import profile_table
from analyst.duckdb_session import open_table
from analyst.queries import Answer
from analyst.refusal import Refusal
from analyst.table_worker import GIVEN
from analyst.tables import TABLE, ask_table, query_table, table_limiter
from understudy import StoredFile, ToolContext, ToolError
from understudy.sandbox import FairLimiter, spawner

Attach = Callable[..., ToolContext]

SALES = "region,amount,day\nN,1.5,2024-01-01\nS,2,2024-02-01\nS,2,2024-02-01\n"


async def rows(context: ToolContext, sql: str = "SELECT * FROM data") -> list[list[object]]:
    """Return the rows of a query."""
    result = await query_table.call({"file_id": "f", "sql": sql}, context)
    return result.value["rows"]


def rows_here(folder: Path, name: str, content: str | bytes, sql: str = "SELECT * FROM data") -> list[list[object]]:
    """Return the rows of a query as the process of a call finds them, without one: it takes a third of a second."""
    path = folder / "given"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return queries.query(open_table(name, path, folder), sql, 1_000).rows


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", "name,city\nanna,rome\nbob,paris\n", [["anna", "rome"], ["bob", "paris"]]),
        ("one.csv", "name\nanna\n", [["anna"]]),
        ("a.csv", "a;b\nx;1,5\ny;2.000,25\n", [["x", 1.5], ["y", 2000.25]]),
        ("a.csv", 'a,b\nx,"1,500"\ny,"2,000.25"\n', [["x", 1500], ["y", 2000.25]]),
        ("a.csv", "straße;b\nmünchen;1\n".encode("cp1252"), [["münchen", 1]]),
        ("a.csv", b"\xef\xbb\xbfa,b\n1,2\n", [[1, 2]]),
        ("a.csv", "a,b\né,2\n".encode("utf-16"), [["é", 2]]),
        ("a.tsv", "a\tb\nx,y\t2\n", [["x,y", 2]]),
        ("a.csv", "a,b\n1,2\n3\n", [[1, 2], [3, None]]),
        ("a.csv", "when,v\n2024-01-02T10:00:00+02:00,1\n", [["2024-01-02 08:00:00", 1]]),
        ("a.csv", "a\n" + "1\n" * 3 + "x\n", [["1"], ["1"], ["1"], ["x"]]),
        ("a.csv", "a,b\n", []),
        ("a.json", '[{"a":1,"b":{"c":2}},{"a":2}]', [[1, "{'c': 2}"], [2, None]]),
        ("none", '{"a":1}\n{"a":2}\n', [[1], [2]]),
        ("a.jsonl", '{"a":1}\n{"a":2}\n', [[1], [2]]),
    ],
)
def test_files_are_read(tmp_path: Path, name: str, content: str | bytes, expected: list[object]) -> None:
    """Separators, encodings, decimal commas and JSON are detected from the content."""
    assert rows_here(tmp_path, name, content) == expected


def test_parquet_is_read_whatever_its_name(tmp_path: Path) -> None:
    """Parquet is detected by its first bytes."""
    duckdb.connect().execute(f"COPY (SELECT range AS a FROM range(3)) TO '{tmp_path}/p' (FORMAT parquet)").fetchall()
    assert rows_here(tmp_path, "p.csv", (tmp_path / "p").read_bytes()) == [[0], [1], [2]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "empty"),
        ("a.csv", " \n ", "empty"),
        ("a.csv", b"\x00\x01\x02" * 50, "not CSV"),
        ("a.xlsx", b"PK\x03\x04" + bytes(50), "save it as CSV"),
        ("a.pdf", b"%PDF-1.7 text", "not CSV"),
        ("a.html", "<html><body>x</body></html>", "XML"),
        ("a.txt", "This is a sentence of text. It goes on\nfor some lines\n", "plain text"),
        ("a.json", '{"a":1,"b":[1,2}', "fit together"),
        ("a.parquet", b"PAR1" + b"x" * 50, "fit together"),
        ("a.csv", "a,b\n1,2\n3\n4,5,6\n", "one of its rows does not fit the rest"),
    ],
)
def test_a_file_without_a_table_is_refused(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    """The error names the reason and the file, never its path."""
    with pytest.raises(Refusal, match=message) as caught:
        rows_here(tmp_path, name, content)
    assert caught.value.code == "invalid_table"
    assert name in caught.value.message
    assert "/" not in caught.value.message


async def test_another_users_file_is_not_there(attach: Attach) -> None:
    """Another user's file and an unknown id give the same error."""
    with pytest.raises(ToolError, match="no attached file") as caught:
        await query_table.call({"file_id": "g", "sql": "SELECT 1"}, attach("a.csv", SALES))
    assert caught.value.code == "not_found"


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT region, sum(amount) FROM data GROUP BY 1 ORDER BY 1", [["N", 1.5], ["S", 4.0]]),
        ("WITH s AS (SELECT * FROM data) SELECT count(*) FROM s", [[3]]),
        ("VALUES (1), (2)", [[1], [2]]),
        ("FROM data LIMIT 1", [["N", 1.5, "2024-01-01"]]),
        ("SELECT 'a;b' -- a comment", [["a;b"]]),
        ("SELECT 1;", [[1]]),
        ("SELECT column_name FROM (DESCRIBE data)", [["region"], ["amount"], ["day"]]),
        ("SELECT lpad(region, 3, '0') FROM data LIMIT 1", [["00N"]]),
        ("SELECT count(*) FROM range(5000000)", [[5_000_000]]),
        ("SELECT 0.1::DOUBLE + 0.2", [[0.3]]),
        ("SELECT 'nan'::DOUBLE, 9007199254740993, [1, 2], NULL", [[None, 9007199254740993, "[1, 2]", None]]),
    ],
)
def test_queries(tmp_path: Path, sql: str, expected: list[object]) -> None:
    """Reading queries return plain JSON."""
    expected = json.loads(json.dumps(expected).replace("9007199254740993", '"9007199254740993"'))
    assert rows_here(tmp_path, "a.csv", SALES, sql) == expected


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "-- nothing",
        "SELECT 1; SELECT 2",
        "SELECT * FROM data; DROP TABLE data",
        "INSERT INTO data VALUES ('N', 1, '2024-01-01')",
        "WITH gone AS (DELETE FROM data RETURNING *) SELECT * FROM gone",
        "DROP TABLE data",
        "CREATE TABLE x AS SELECT 1",
        "COPY data TO 'stolen.csv'",
        "ATTACH 'other.db'",
        "SET threads = 64",
        "PRAGMA database_list",
        "INSTALL httpfs",
        "LOAD httpfs",
        "CALL pragma_version()",
        "EXPLAIN SELECT 1",
        "SHOW DATABASES",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_csv('http://127.0.0.1:1/x')",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM duckdb_settings()",
        "SELECT * FROM duckdb_settings",
        "SELECT * FROM information_schema.tables",
        "SELECT current_setting('secret_directory')",
        "FROM query('SELECT 1')",
        "SELECT sleep_ms(100000)",
        "SELECT (100000).sleep_ms()",
        "SELECT repeat('x', 1000000000)",
        "SELECT len(range(1000000000))",
        "SELECT len(range(n)) FROM (SELECT 1000000000 AS n)",
        "SELECT format('{:>1000000000}', 1)",
        "SELECT '" + "x" * 20_000 + "'",
        "SELECT " + "+".join("1" * 900),
        "SELECT * FROM " + "(SELECT * FROM " * 400 + "data" + ")" * 400,
    ],
)
def test_only_one_reading_query_runs(tmp_path: Path, sql: str) -> None:
    """Queries that write, wait, or reach outside the table are refused."""
    with pytest.raises(Refusal) as caught:
        rows_here(tmp_path, "a.csv", SALES, sql)
    assert caught.value.code == "query_refused"


async def test_below_the_gate_files_are_closed_too(attach: Attach) -> None:
    """Without the policy, DuckDB itself still refuses files, writes and settings."""
    file = await attach("a.csv", SALES).files.get("f")
    table = open_table(file.name, file.path, file.path.parent)
    for sql in (
        "SELECT * FROM read_text('/etc/hostname')",
        "COPY data TO 'x.csv'",
        "SET enable_external_access = true",
        "SET memory_limit = '8GB'",
        "DELETE FROM data",
        "SELECT * FROM attach",  # a variable of this program
    ):
        with pytest.raises(duckdb.Error):
            table.rows(sql)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT amout FROM data", "no column “amout”. The table has “amount”, “region”, “day”"),
        ("SELECT from", "syntax error"),
        ("SELECT region, sum(amount) FROM data", "GROUP BY"),
        ("SELECT 'x'::INT", "Could not convert"),
        ("SELECT error('see /srv/secret/file')", "not available here"),
        ("SELECT nosuch(1)", "nosuch does not exist"),
        ("SELECT ?", "parameters"),
    ],
)
def test_a_faulty_query_is_explained(tmp_path: Path, sql: str, message: str) -> None:
    """The error is one sentence, with likely columns first, without paths."""
    with pytest.raises(Refusal) as caught:
        rows_here(tmp_path, "a.csv", SALES, sql)
    assert caught.value.code == "query_failed"
    assert message in caught.value.message
    assert "\n" not in caught.value.message


async def test_rows_are_limited_and_said_to_be(attach: Attach) -> None:
    """At most 1,000 rows, or `limit`, are returned; very long rows are cut earlier."""
    context = attach("a.csv", "n\n" + "\n".join(map(str, range(3_000))))
    result = await query_table.call({"file_id": "f", "sql": "FROM data ORDER BY n"}, context)
    assert (len(result.value["rows"]), result.value["truncated"]) == (1_000, True)
    assert "first 1,000" in result.summary
    few = await query_table.call({"file_id": "f", "sql": "FROM data", "limit": 2}, context)
    assert len(few.value["rows"]) == 2
    wide = await query_table.call({"file_id": "f", "sql": "SELECT repeat('x', 5000), n FROM data"}, context)
    assert len(json.dumps(wide.value)) < 200_000
    assert wide.value["truncated"] is True
    with pytest.raises(ToolError, match="between 1 and 1,000"):
        await query_table.call({"file_id": "f", "sql": "FROM data", "limit": 1_001}, context)


async def test_two_users_never_see_each_other(attach: Attach) -> None:
    """Concurrent calls each have their own table."""
    rows_of: dict[str, list[list[object]]] = {}

    async def ask(who: str, context: ToolContext) -> None:
        rows_of[who] = await rows(context, "SELECT DISTINCT who FROM data, range(100000)")

    async with trio.open_nursery() as nursery:
        for who in ("ada", "bob", "cyd", "dan", "eve", "fay"):
            nursery.start_soon(ask, who, attach("a.csv", f"who\n{who}\n"))
    assert rows_of == {who: [[who]] for who in ("ada", "bob", "cyd", "dan", "eve", "fay")}


async def test_a_profile(attach: Attach) -> None:
    """The profile has counts, ranges and the most frequent values of each column."""
    result = await profile_table.call({"file_id": "f"}, attach("a.csv", SALES + ",,\n"))
    value = result.value
    assert (value["rows"], value["column_count"], value["duplicate_rows"]) == (4, 3, 1)
    region, amount, day = value["columns"]
    assert region["top"] == [{"value": "S", "rows": 2}, {"value": "N", "rows": 1}]
    assert (region["nulls"], region["distinct"]) == (1, 2)
    assert {key: amount[key] for key in ("min", "max", "median", "sum")} == {
        "min": 1.5,
        "max": 2,
        "median": 2,
        "sum": 5.5,
    }
    assert (day["kind"], day["min"], day["max"]) == ("date", "2024-01-01", "2024-02-01")
    assert result.summary == "a.csv: 4 rows, 3 columns; values missing in region, amount, day; 1 repeated"


@pytest.mark.parametrize("content", ["a,b\n", "a\n\n\n", "a\n1\ninf\nnan\n", 'a"b\n1\n', "a\n1e300\n-1e300\n"])
async def test_odd_tables_have_a_profile(attach: Attach, content: str) -> None:
    """Empty tables, infinite numbers and quotes in names are described, too."""
    result = await profile_table.call({"file_id": "f"}, attach("a.csv", content))
    assert json.dumps(result.value, allow_nan=False)


async def test_a_wide_table_has_a_profile_of_bounded_size(attach: Attach) -> None:
    """200 of 300 columns are described, and a note says so."""
    names = ",".join(f"c{n}" for n in range(300))
    content = names + "\n" + "\n".join(",".join(["x" * 200] * 300) for _ in range(20))
    result = await profile_table.call({"file_id": "f"}, attach("a.csv", content))
    assert (result.value["column_count"], len(result.value["columns"])) == (300, 200)
    assert "first 200 of 300" in result.value["notes"][0]
    assert len(json.dumps(result.value)) < 200_000


async def test_a_large_table_takes_seconds_at_most(tmp_path: Path, attach: Attach) -> None:
    """200,000 rows are described in under five seconds of CPU."""
    path = tmp_path / "large"

    def write() -> None:
        with path.open("w") as out:
            out.write("n,t\n")
            out.writelines(f"{n},t{n % 97}\n" for n in range(200_000))

    await trio.to_thread.run_sync(write)
    context = attach()
    context.files.files["f"] = StoredFile("f", "large.csv", "text/csv", path.stat().st_size, path)  # type: ignore[attr-defined]
    used_s = children_cpu_s()
    result = await profile_table.call({"file_id": "f"}, context)
    assert result.value["columns"][1]["distinct"] == 97
    assert children_cpu_s() - used_s < 5


# processes


def children_cpu_s() -> float:
    """Return the CPU seconds of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


ENDLESS = "SELECT count(*) FROM range(1000000000000)"
MIB = 1024 * 1024


@pytest.fixture
async def file(attach: Attach) -> StoredFile:
    """A table of two rows."""
    return await attach("a.csv", "a,b\n1,2\n3,4\n").files.get("f")


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Collect the processes killed while running; at the end, none is left."""
    pids: list[int] = []
    kill = spawner._kill

    async def note(process: trio.Process) -> None:
        if process.poll() is None:
            pids.append(process.pid)
        await kill(process)

    monkeypatch.setattr(spawner, "_kill", note)
    yield pids
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def query(file: StoredFile, sql: str, owner: str = "ada", **limits: Any) -> Any:
    """Run a query for at most ten rows."""
    return ask_table(file, owner, "query", (sql, 10), Answer, **limits)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT length(replace(repeat(repeat('a',10000),8),'a',repeat('b',10000))) FROM data LIMIT 1",
        "SELECT length(replace(replace(repeat('a',10000),'a',repeat('b',10000)),'b',repeat('c',10000)))",
        "SELECT string_agg(replace(repeat('a',1000),'a',repeat('b',1000)), '') FROM range(100000)",
    ],
)
async def test_a_query_that_eats_memory_is_refused_and_the_server_does_not_grow(file: StoredFile, sql: str) -> None:
    """The process's limit covers strings within an expression, which DuckDB's own limit does not."""
    size, children = (resource.getrusage(whose).ru_maxrss for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    used_s = children_cpu_s()
    with pytest.raises(ToolError, match="more memory than a query may use") as caught:
        await query(file, sql, memory=300 * MIB, limit_s=60.0)
    assert caught.value.code == "query_failed"
    assert children_cpu_s() - used_s < 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - size < 20 * 1024
    # A child begins as a copy of this process, and counts as that until it is another program.
    copied = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss <= max(children, copied, 450 * 1024)


async def test_a_late_query_is_killed(file: StoredFile, killed: list[int]) -> None:
    """The process is killed, and the error is `tool_timeout`."""
    with trio.fail_after(60), pytest.raises(ToolError, match=r"longer than 0\.5 seconds") as caught:
        await query(file, ENDLESS, limit_s=0.5)
    assert caught.value.code == "tool_timeout"
    assert len(killed) == 1


async def test_a_function_that_nothing_interrupts_is_killed(file: StoredFile, killed: list[int]) -> None:
    """A single long step of DuckDB, which ignores interrupts, is killed."""
    first, second = (f"replace(repeat('a', 200), 'a', repeat('{letter}', 1000))" for letter in "bc")
    started = time.perf_counter()
    with pytest.raises(ToolError, match="longer than"):
        await query(file, f"SELECT levenshtein({first}, {second})", limit_s=0.5)
    assert time.perf_counter() - started < 15  # a process starts slowly on a busy machine; the query takes minutes
    assert len(killed) == 1


async def test_a_process_without_its_server_ends(file: StoredFile, tmp_path: Path) -> None:
    """The system ends a process whose server has died by its limit of processor time."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / GIVEN).symlink_to(file.path)
    request = {"name": file.name, "folder": str(folder), "operation": "query", "arguments": (ENDLESS, 10)}
    with trio.fail_after(60):
        ended = await spawner.run(TABLE, json.dumps(request).encode(), read=[str(file.path)], cpu_s=1)
    assert ended.returncode == -signal.SIGXCPU


async def test_a_cancelled_query_has_ended_when_the_call_returns(
    file: StoredFile, killed: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process has ended, and its temporary folder is removed."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    files = os.listdir(tmp_path)
    started = time.perf_counter()
    with trio.move_on_after(0.5) as scope:
        await query(file, ENDLESS)
    assert scope.cancelled_caught
    assert time.perf_counter() - started < 15  # a process starts slowly on a busy machine; the query takes minutes
    assert len(killed) == 1
    assert os.listdir(tmp_path) == files


async def test_a_call_that_is_cancelled_at_once_returns(file: StoredFile) -> None:
    """The call is cancelled before it has a process."""
    with trio.fail_after(60):
        with trio.CancelScope() as scope:
            scope.cancel()
            await query(file, ENDLESS)
        assert scope.cancelled_caught


async def test_endless_queries_of_one_user_do_not_delay_another(file: StoredFile, killed: list[int]) -> None:
    """With ten endless queries of one user, eight wait, and another user is answered at once."""
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(query, file, ENDLESS)
        await wait_all_tasks_blocked()
        with trio.fail_after(60):
            answer = await query(file, "SELECT count(*) FROM data", "bob")
        assert answer.rows == [[2]]
        assert table_limiter().queued("ada") == 8
        nursery.cancel_scope.cancel()
    assert len(killed) == 2


async def test_a_user_with_too_many_waiting_calls_is_refused(file: StoredFile) -> None:
    """A full queue is reported as `busy`, with a sentence for the user."""
    limiter = table_limiter()
    table_limiter.set(FairLimiter(max_queued=0))
    with pytest.raises(ToolError, match="too many tables at work") as caught:
        await query(file, "SELECT 1")
    assert caught.value.code == "busy"
    table_limiter.set(limiter)


async def test_waiting_for_a_place_is_not_time_of_the_query(file: StoredFile) -> None:
    """Three queries of one user each time out by themselves: the third's time starts with its permit."""
    ended_at: list[float] = []
    begun = time.perf_counter()

    async def ask() -> None:
        with pytest.raises(ToolError, match="longer than"):
            await query(file, ENDLESS, limit_s=0.4)
        ended_at.append(time.perf_counter() - begun)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ask)
    assert ended_at[2] >= 0.8


async def test_an_unexpected_fault_is_logged_and_reported(file: StoredFile, caplog: pytest.LogCaptureFixture) -> None:
    """The user learns that the call failed; the log has the reason."""
    with pytest.raises(ToolError, match="could not be worked on") as caught:
        await ask_table(file, "ada", "nothing", (), Answer)
    assert caught.value.code == "tool_failed"
    (record,) = caplog.records
    assert "KeyError" in record.__dict__["reason"]


async def test_the_process_does_not_have_the_servers_environment(
    file: StoredFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys of model providers in the server's environment are not passed on."""
    environments: list[bytes] = []

    async def look(process: trio.Process) -> None:
        environments.append(await trio.Path(f"/proc/{process.pid}/environ").read_bytes())
        process.kill()

    monkeypatch.setattr(spawner, "_kill", look)
    monkeypatch.setenv("UNDERSTUDY_TEST_KEY", "secret")
    with pytest.raises(ToolError, match="longer than"):
        await query(file, ENDLESS, limit_s=0.4)
    assert b"UNDERSTUDY" not in environments[0]
