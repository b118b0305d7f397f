"""MCP's official conformance suite against this server's door and its client.

    python -m tests.mcp_suite.run FOLDER            compares the results with those of the page
    python -m tests.mcp_suite.run FOLDER --record   writes them into it

Exit code 1 if a check fails without a reason in `causes.toml`, if a reason is not needed, or if the page differs.
"""

import argparse
import json
import re
import shutil
import sys
import tomllib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from difflib import unified_diff
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import trio

from tests.mcp_suite.caller import REFUSED, play
from tests.mcp_suite.served import served
from tests.rigs.http import new_token
from tests.rigs.serving import serving
from tests.servers.needed import program
from tests.servers.npm import install
from understudy.storage.limits import Limits

HERE: Final = Path(__file__).parent
PAGE: Final = HERE.parents[1] / "docs" / "reference" / "mcp-conformance.md"
MARK: Final = "<!-- results -->\n"
REVISIONS: Final = ("2025-11-25", "2026-07-28")
SCENARIO_S: Final = 90
"""Seconds of one scenario, of which many run at once."""
AT_ONCE: Final = 4
"""Scenarios of the client that are played at once, each by a server of its own."""
BROKEN: Final = ("FAILURE", "WARNING")

Results: TypeAlias = dict[tuple[str, str], dict[str, list[dict[str, Any]]]]
"""Checks that failed, by side (`server`, `client`) and scenario, and then by revision."""


async def suite(root: Path, side: str, revision: str, *words: str) -> None:
    """Run the scenarios of one side and revision; the results go to a folder of their name."""
    main = root / "node_modules/@modelcontextprotocol/conformance/dist/index.js"
    options = ("--suite", "all", "--spec-version", revision, "--timeout", str(SCENARIO_S * 1000))
    with (root / f"{side}-{revision}.log").open("wb") as log:
        command = [node(root), str(main), side, *words, *options, "-o", str(root / f"{side}-{revision}")]
        await trio.run_process(command, stdout=log, stderr=log, check=False)


def node(root: Path) -> str:
    """Return the Node.js that the lock file names, for processors that it has one for; else that of the machine."""
    return next((str(path) for path in root.glob("node_modules/node-linux-*/bin/node")), program("node"))


@asynccontextmanager
async def listening(handler: Any) -> AsyncIterator[int]:
    """Answer connections to a port of this machine. Yield the port."""
    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, handler, 0, host="127.0.0.1"))
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def relay(address: str, token: str, stream: trio.SocketStream) -> None:
    """Pass one request on with a token, which the suite cannot send."""
    host, _, port = address.removeprefix("http://").partition(":")
    async with stream, await trio.open_tcp_stream(host, int(port)) as upstream:
        head = b""
        while b"\n" not in head:
            if not (piece := await stream.receive_some()):
                return
            head += piece
        line, _, rest = head.partition(b"\n")
        added = f"Authorization: Bearer {token}\r\nConnection: close\r\n"
        await upstream.send_all(line + b"\n" + added.encode() + rest)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pump, stream, upstream, nursery.cancel_scope)
            nursery.start_soon(pump, upstream, stream, nursery.cancel_scope)


async def pump(source: trio.SocketStream, sink: trio.SocketStream, scope: trio.CancelScope) -> None:
    """Pass bytes on until a side ends."""
    try:
        async for piece in source:
            await sink.send_all(piece)
    except trio.BrokenResourceError:
        pass
    scope.cancel()


async def run(root: Path) -> Results:
    """Run everything. A client that did not end well is a check that failed, too."""
    limits = Limits(messages_per_minute=6000, operations_per_minute=6000, requests_per_minute=60_000, approval_s=12.0)
    async with serving(root / "data", served, limits=limits, local_operator=False) as running:
        handler = partial(relay, running.address, await new_token(running))
        async with listening(handler) as port:
            for revision in REVISIONS:
                url = f"http://127.0.0.1:{port}/mcp"
                await suite(root, "server", revision, "--url", url)
    async with serving(root / "empty"):
        pass  # a database whose migrations are not run again for each scenario
    told: dict[tuple[str, str], str] = {}
    places, numbers = trio.Semaphore(AT_ONCE), iter(range(10_000))

    async def answer(revision: str, stream: trio.SocketStream) -> None:
        async with stream:
            line = b""
            while not line.endswith(b"\n") and (piece := await stream.receive_some()):
                line += piece
            given = json.loads(line)
            async with places:
                data = root / f"client-{next(numbers)}"
                shutil.copytree(root / "empty", data)
                with trio.move_on_after(SCENARIO_S):
                    try:
                        said = await play(data, given["url"], given["scenario"], given["context"])
                    except Exception as error:
                        said = repr(error)
                    told[given["scenario"], revision] = said
                    await stream.send_all(said.encode())

    for revision in REVISIONS:
        async with listening(partial(answer, revision)) as port:
            words = (sys.executable, "-ISE", str(HERE / "command.py"), str(port))
            await suite(root, "client", revision, "--command", " ".join(words))
    results = read(root)
    for (side, scenario), by_revision in results.items():
        for revision, checks in by_revision.items() if side == "client" else ():
            said = told.get((scenario, revision))
            if said is None or bool(said) != (scenario in REFUSED):
                checks.append({"id": "played", "errorMessage": said or "it went well, or never ended"})
    return results


def read(root: Path) -> Results:
    """Return the results of a run."""
    results: Results = {}
    for side in ("server", "client"):
        for revision in REVISIONS:
            out = root / f"{side}-{revision}"
            for file in sorted(out.rglob("checks.json")):
                scenario = re.sub(r"-\d{4}-\d\d-\d\dT.*", "", str(file.parent.relative_to(out))).removeprefix("server-")
                checks = [check for check in json.loads(file.read_text()) if check["status"] in BROKEN]
                results.setdefault((side, scenario), {})[revision] = checks
    return results


def judge(results: Results, causes: Sequence[Mapping[str, str]]) -> tuple[str, list[str]]:
    """Return the table, and a sentence for each check that fails without a cause and each cause that is not needed."""
    rows, complaints, used = ["|scenario|" + "|".join(REVISIONS) + "|", "|---|---|---|"], list[str](), set[int]()
    for (side, scenario), by_revision in sorted(results.items()):
        cells = []
        for revision in REVISIONS:
            numbers = set[int]()
            for check in by_revision.get(revision, ()):
                given = {"side": side, "scenario": scenario, "revision": revision, "check": check["id"]}
                number = next((at for at, cause in enumerate(causes, 1) if fits(cause, given)), None)
                if number is None:
                    complaints.append(f"{' '.join(given.values())}: {str(check.get('errorMessage'))[:300]}")
                numbers.add(number or 0)
            used |= numbers
            marks = "".join(f"({number})" if number else "fails" for number in sorted(numbers))
            cells.append(marks or ("passed" if revision in by_revision else ""))
        rows.append(f"|{side}:`{scenario}`|{'|'.join(cells)}|")
    complaints += [f"nothing needs cause {at}" for at in range(1, len(causes) + 1) if at not in used]
    reasons = [f"{at}. {cause['why']}" for at, cause in enumerate(causes, 1)]
    return "\n".join([*rows, "", *reasons, ""]), complaints


def fits(cause: Mapping[str, str], given: Mapping[str, str]) -> bool:
    """Return whether a cause is one of this check: each of its patterns that it has is the whole of the name."""
    return all(re.fullmatch(cause.get(name, ".*"), value) for name, value in given.items())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite."""
    parser = argparse.ArgumentParser(prog="python -m tests.mcp_suite.run", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="an empty one")
    parser.add_argument("--record", action="store_true", help="write the results into the page")
    args = parser.parse_args(arguments)
    root = install(HERE, args.folder)
    causes = tomllib.loads((HERE / "causes.toml").read_text(encoding="utf-8"))["cause"]
    table, complaints = judge(trio.run(run, root), causes)
    page = PAGE.read_text(encoding="utf-8")
    now = f"{page.partition(MARK)[0]}{MARK}{table}"
    if args.record:
        PAGE.write_text(now, encoding="utf-8")
    elif now != page:
        complaints += [f"{PAGE.name} is not current"]
        complaints += unified_diff(page.splitlines(), now.splitlines(), lineterm="", n=0)
    print(*complaints, sep="\n")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
