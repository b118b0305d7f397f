"""`understudy doctor`: what is configured, reachable and missing, and how to mend it."""

import importlib.util
import os
import socket
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from attrs import frozen
from rich.console import Console
from rich.table import Table

from transport.auth import load_or_create_secret
from understudy.config import BadSettings, Settings, load
from understudy.storage.errors import DatabaseUnusable
from understudy.storage.sqlite import open_database

MARKS = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "mend": "[red]mend[/]"}


@frozen
class Finding:
    """One thing that was looked at. `state` is `ok`, `note` (works, worth knowing) or `mend`."""

    what: str
    state: str
    text: str


def examine(data_dir: Path | None, console: Console | None = None) -> int:
    """Look at everything and print it; returns the exit code: 1 when something must be mended."""
    console = console or Console()
    try:
        settings = load(data_dir=data_dir)
    except BadSettings as error:
        console.print(f"{MARKS['mend']} settings: {error}")
        return 1
    table = Table(box=None, pad_edge=False, show_header=False)
    findings = list(look(settings))
    for finding in findings:
        table.add_row(MARKS[finding.state], finding.what, finding.text)
    console.print(table)
    return 1 if any(finding.state == "mend" for finding in findings) else 0


def look(settings: Settings) -> Iterator[Finding]:
    """Give every finding, in the order in which a start would meet them."""
    checks: tuple[Callable[[Settings], Finding], ...] = (_data_dir, _database, _secret, _port, _model, _charts)
    for check in checks:
        yield check(settings)


def _data_dir(settings: Settings) -> Finding:
    folder = settings.data_dir.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding("data folder", "mend", f"{folder} cannot be written ({error.strerror}); set UNDERSTUDY_DATA_DIR")
    return Finding("data folder", "ok", str(folder))


def _database(settings: Settings) -> Finding:
    try:
        database = open_database(settings.database_folder)
    except DatabaseUnusable as error:
        return Finding("database", "mend", str(error))
    database.close()
    size = database.path.stat().st_size
    return Finding("database", "ok", f"SQLite {sqlite3.sqlite_version}, {size / 1e6:.1f} MB, schema up to date")


def _secret(settings: Settings) -> Finding:
    if settings.secret:
        return Finding("secret", "ok", "from the settings; anonymous sessions are off")
    try:
        load_or_create_secret(settings.secret_file)
    except (OSError, ValueError) as error:
        return Finding("secret", "mend", str(error))
    return Finding("secret", "note", f"the server's own, for {settings.host} only; anybody there gets a session")


def _port(settings: Settings) -> Finding:
    if settings.port == 0:
        return Finding("port", "note", "any free one; the server prints it when it is ready")
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((settings.host, settings.port))
        except OSError as error:
            return Finding(
                "port", "note", f"{settings.host}:{settings.port} is taken ({error.strerror}); running already?"
            )
    return Finding("port", "ok", f"{settings.host}:{settings.port} is free")


def _model(settings: Settings) -> Finding:
    if settings.model == "offline":
        return Finding(
            "model", "note", "offline: a rule-based stand-in, not a language model; --model openai:NAME for one"
        )
    if importlib.util.find_spec("openai") is None:
        return Finding("model", "mend", f"{settings.model} needs the extra: pip install 'understudy[openai]'")
    if not os.environ.get("OPENAI_API_KEY"):
        return Finding("model", "mend", f"{settings.model} needs OPENAI_API_KEY in the environment")
    return Finding("model", "ok", settings.model)


def _charts(_: Settings) -> Finding:
    missing = [name for name in ("duckdb", "vl_convert") if importlib.util.find_spec(name) is None]
    if missing:
        return Finding("tables and charts", "mend", f"missing: {', '.join(missing)}; reinstall understudy")
    return Finding("tables and charts", "ok", "DuckDB and Vega-Lite are installed")
