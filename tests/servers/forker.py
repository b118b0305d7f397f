"""A process that has loaded the product and forks a server for each request: loading takes most of a server's start.

python -m tests.servers.forker [MODULE …]

It loads these modules, too. Standard input is a socket of `tests/servers/forked.py`: each message of it is a JSON
object (`options` of `understudy serve`, `environment`, `folder`: the current one, `data_dir`, `page`: the folder of the
pages, null for those of the checkout, `program`: a module to run instead, null for none) with three descriptors: the
socket that is sent the server's process id and, at its end, its exit code; its output; its errors. A data folder
without a database is given one at the newest schema, unless it is null: running all migrations takes half of the rest.
"""

import functools
import gc
import importlib
import json
import logging
import os
import runpy
import shutil
import signal
import socket
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import trio

from understudy.app.server import serve_app
from understudy.app.settings import Settings
from understudy.cli.main import main as main_command
from understudy.storage.sqlite import FILE_NAME, open_database
from understudy.web import application

SELDOM = (
    "understudy.cli.load_agents", "understudy.storage.migrations",
    "understudy.storage.postgresql", "understudy.extensions.nodes.joining",
)  # fmt: skip
"""What servers with agents of a file, or with PostgreSQL, load besides."""
LONGEST = 1 << 17
"""Bytes of a request, most of which is the environment."""


def main() -> None:
    """Fork servers until the socket is closed."""
    for name in sys.argv[1:]:
        importlib.import_module(name)
    folder = Path(tempfile.mkdtemp())  # no TemporaryDirectory: each server would remove it at its end
    for name in (*_prepare(folder), *SELDOM):
        with suppress(ImportError):  # modules that others make, and those of an extra that is not installed
            importlib.import_module(name)
    threads = list(Path("/proc/self/task").iterdir())
    assert len(threads) == 1, "a fork has only one of the threads"
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()
    with socket.socket(fileno=os.dup(0)) as requests:
        while True:
            message, descriptors, _, _ = socket.recv_fds(requests, LONGEST, 3)
            if not message:
                return shutil.rmtree(folder)
            if not os.fork():
                break
            for descriptor in descriptors:
                os.close(descriptor)
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:  # those that have watched a server to its end
                    pass
    _serve(json.loads(message), descriptors, folder)


def _prepare(folder: Path) -> list[str]:
    """Make a data folder, and start a server once, in a process of its own, so that nothing of it stays here.

    Return the names of the modules that a server has loaded when it is ready, in the order in which it loaded them.
    """
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.umask(0o077)
        logging.disable()
        open_database(folder).close()
        trio.run(_report_modules, Settings(data_dir=folder / "other", port=0), write)
        os._exit(0)
    os.close(write)
    with open(read, encoding="utf-8") as names:
        loaded = names.read().split()
    assert os.waitpid(child, 0)[1] == 0
    return loaded


async def _report_modules(settings: Settings, descriptor: int) -> None:
    async with trio.open_nursery() as nursery:
        running = await nursery.start(serve_app, settings)
        await running.warm_up()
        os.write(descriptor, "\n".join(sys.modules).encode())
        nursery.cancel_scope.cancel()


def _serve(request: Any, descriptors: list[int], migrated: Path) -> None:
    """Fork a server and watch it, or go on as that server."""
    line, out, errors = descriptors
    server = os.fork()
    if server:
        _watch(server, line, out, errors)
    os.close(line)
    with open(os.devnull, "rb") as nothing:
        for number, descriptor in enumerate((nothing.fileno(), out, errors)):
            os.dup2(descriptor, number)
    os.close(out)
    os.close(errors)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.path[:1] = [request["folder"], *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if request["data_dir"] is not None and not (Path(request["data_dir"]) / FILE_NAME).exists():
        Path(request["data_dir"]).mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copy(migrated / FILE_NAME, request["data_dir"])
    if request["page"] is not None:
        pages: Any = functools.partial(application.Pages, folder=Path(request["page"]))
        application.Pages = pages
    sys.argv = ["understudy", "serve", *request["options"]]
    if request["program"] is not None:
        runpy.run_module(request["program"], run_name="__main__")
    main_command()


def _watch(server: int, line: int, *others: int) -> None:
    """Tell `line` the server's process id, and its exit code. Ends this process."""
    try:
        with open(os.devnull, "r+b") as nothing:
            for number in (0, 1, 2, *others):
                os.dup2(nothing.fileno(), number)
        os.write(line, str(server).encode())
        _, status = os.waitpid(server, 0)
        os.write(line, str(os.waitstatus_to_exitcode(status)).encode())
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
