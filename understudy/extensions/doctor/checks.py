"""The checks of `understudy doctor`: configuration and services, and how to fix each problem. It changes nothing."""

import errno
import http.client
import json
import logging
import platform
import shutil
import socket
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO
from urllib.parse import urlsplit

import trio

from transport.auth.identity import is_loopback
from transport.auth.tokens import load_or_create_secret
from transport.server.tls import server_context
from transport.wire.errors import FetchFailed, KeySetInvalid
from understudy.agents.agent import Agent, with_subagents
from understudy.agents.registry import all_agents
from understudy.app.serve import explain_os_error
from understudy.app.settings import (
    DATABASE_FILE,
    FILE,
    BadSettings,
    Settings,
    extension_tables,
    load,
    settings_files,
    unknown_variables,
)
from understudy.auth.sessions import read_keys
from understudy.cli.check_result import CheckResult
from understudy.cli.output import print_table
from understudy.content.filter import load_policy
from understudy.extensions.doctor.model_check import inquire
from understudy.installed import chosen
from understudy.models.registry import chain
from understudy.storage.errors import DatabaseUnusable, ExtraNotInstalled
from understudy.storage.schema import HEAD, is_behind
from understudy.storage.sqlite import inspect_database

if TYPE_CHECKING:
    from understudy.storage.postgresql import ClusterCheck

COLOURS: Final = {"ok": "green", "note": "yellow", "mend": "red"}
MIN_PYTHON: Final = (3, 11)
MIN_FREE_BYTES: Final = 200_000_000
"""Free bytes below which a disk is reported as full: room for ten uploads of the default size."""
CLOCK_SLACK_S: Final = 86_400.0
"""Seconds by which a file's time may be ahead of the clock; a wrong time zone explains that much."""
EARLIEST_S: Final = datetime(2025, 1, 1, tzinfo=UTC).timestamp()
"""A clock before this time is wrong, because this program is younger."""
ANSWER_S: Final = 2.0
"""Seconds within which a program on the server's port must answer."""
MAX_CLOCK_SKEW_S: Final = 1.0
"""Clock skew in seconds above which it is reported: nodes may answer in one thread, and times are shown to users."""


def run_doctor(
    agents: Sequence[Agent] = (), out: TextIO | None = None, *, offline: bool = False, **settings: Any
) -> int:
    """Run all checks and print the results. Return the exit code: 1 if anything must be fixed.

    With `offline`, providers of models and of identities, and the MCP servers of `agents`, are not asked. `settings`
    override the file and the environment.
    """
    # Log messages, as of an event loop held by the imports of a check, would disturb the table of results.
    logging.getLogger().addHandler(logging.NullHandler())
    results = list(run_checks(agents, offline=offline, **settings))
    print_table([[result.state, result.name, result.text] for result in results], out, COLOURS)
    return 1 if any(result.state == "mend" for result in results) else 0


def run_checks(agents: Sequence[Agent] = (), *, offline: bool = False, **options: Any) -> Iterator[CheckResult]:
    """Yield a result per check, in the order in which a start needs them. For the arguments see `run_doctor`."""
    yield _python()
    try:
        settings = load(**options)
    except BadSettings as error:
        yield CheckResult("settings", "mend", str(error))
        return
    yield _settings()
    for name, suggestion in unknown_variables().items():
        yield CheckResult("settings", "note", f"{name} is no setting{f'; {suggestion} is one' if suggestion else ''}")
    if agents or settings.default_agent or settings.builtin_agents is not None:
        yield from _agents(settings, agents)
    if settings.tls.certificate is not None and settings.tls.key is not None:
        yield _tls(settings.tls.certificate, settings.tls.key)
    checks: tuple[Callable[[Settings], CheckResult], ...] = (_policy, _secret, _clock, _port)
    yield _data_dir(settings)
    yield _space(settings)
    if settings.on_postgresql:
        yield from _services(settings)
    else:
        yield _database(settings)
    for check in checks:
        yield check(settings)
    yield from _models(settings, agents, not offline)
    for name in settings.weak_secrets:
        text = f"{name} has few different letters and can be guessed: `openssl rand -hex 32` makes a strong one"
        yield CheckResult("strength", "note", text)
    if settings.jwt.keys and offline and "://" in settings.jwt.keys:
        yield CheckResult("identity provider", "note", f"{settings.jwt.keys} was not asked")
    elif settings.jwt.keys:
        yield _keys(settings)
    for kind in map(settings.of, extension_tables().values()):
        yield from getattr(kind, "checks", lambda *_: ())(settings, agents, offline)


def _python() -> CheckResult:
    if sys.version_info < MIN_PYTHON:
        required = ".".join(map(str, MIN_PYTHON))
        return CheckResult("Python", "mend", f"{platform.python_version()} is too old: install {required} or later")
    return CheckResult("Python", "ok", f"{platform.python_version()}, {sys.executable}")


def _settings() -> CheckResult:
    read = ", ".join(str(path.absolute()) for path in settings_files())
    return CheckResult(
        "settings", "ok", read or f"no {FILE} in this folder: defaults and UNDERSTUDY_* variables are used"
    )


def _nearest_existing(folder: Path) -> Path:
    """Return the folder, or its nearest parent that exists."""
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if _exists(path))


def _exists(path: Path) -> bool:
    """Return whether the path exists; False if the permission to look is missing."""
    try:
        return path.exists()
    except OSError:
        return False


def _data_dir(settings: Settings) -> CheckResult:
    folder = settings.data_dir.absolute()
    existing = _nearest_existing(folder)
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        text = f"{folder} cannot be written ({error.strerror}): mend its permissions, or set UNDERSTUDY_DATA_DIR"
        return CheckResult("data folder", "mend", text)
    if existing != folder:
        return CheckResult("data folder", "note", f"{folder} is not there yet; the first start makes it")
    return CheckResult("data folder", "ok", str(folder))


def _space(settings: Settings) -> CheckResult:
    free = shutil.disk_usage(_nearest_existing(settings.data_dir)).free
    text = f"{free / 1e6:,.0f} MB free in the data folder"
    if free < MIN_FREE_BYTES:
        return CheckResult("disk space", "mend", f"{text}: make room, or set UNDERSTUDY_DATA_DIR to another disk")
    return CheckResult("disk space", "ok", text)


def _agents(settings: Settings, agents: Sequence[Agent]) -> Iterator[CheckResult]:
    """Check the agents as a start would. Without `agents` a missing one is only noted: it may be the caller's own."""
    try:
        all_agents(agents, settings.builtin_agents, settings.default_agent, settings.extensions)
    except ValueError as error:
        yield CheckResult("agents", "mend" if agents else "note", str(error))


def _tls(certificate: Path, key: Path) -> CheckResult:
    try:
        server_context(certificate, key)
    except (OSError, ValueError) as error:
        return CheckResult("TLS", "mend", explain_os_error(error))
    return CheckResult("TLS", "ok", f"the port speaks TLS with {certificate}")


def _policy(settings: Settings) -> CheckResult:
    try:
        load_policy(settings.scrub_policy)
    except ValueError as error:
        return CheckResult("scrubbing", "mend", str(error))
    return CheckResult("scrubbing", "ok", f"by the policy {settings.scrub_policy}")


def _services(settings: Settings) -> Iterator[CheckResult]:
    """Check the database that several nodes share."""
    try:
        from understudy.storage.postgresql import NODE_CONNECTIONS, check_cluster  # most servers need neither
    except ExtraNotInstalled as error:
        yield CheckResult("database", "mend", str(error))
        return
    try:
        cluster = check_cluster(settings.database_url)
    except DatabaseUnusable as error:
        yield CheckResult("database", "mend", str(error))
    else:
        yield from _postgresql(cluster, NODE_CONNECTIONS)


def _postgresql(cluster: "ClusterCheck", node_connections: int) -> Iterator[CheckResult]:
    """Check that PostgreSQL takes writes, that its clock agrees, and that it has connections for a node."""
    if not cluster.writable:
        text = f"PostgreSQL {cluster.version} takes no writes: it is a standby, or was set to be read-only; "
        yield CheckResult(
            "database", "mend", f"{text}name all hosts, with ?target_session_attrs=read-write behind the name"
        )
        return
    if cluster.lacking:
        more = f" and {len(cluster.lacking) - 3} more" if len(cluster.lacking) > 3 else ""
        text = (
            f"PostgreSQL {cluster.version} does not give {cluster.user} {', '.join(cluster.lacking[:3])}{more}: have "
        )
        text += f"it own the tables, and GRANT USAGE, CREATE ON SCHEMA public TO {cluster.user}"
        yield CheckResult("database", "mend", text)
        return
    nodes = f", {cluster.nodes} nodes alive" if cluster.nodes else ""
    yield CheckResult("database", "ok", f"PostgreSQL {cluster.version}, {describe_schema(cluster.revision)}{nodes}")
    if abs(cluster.ahead_s) < MAX_CLOCK_SKEW_S:
        yield CheckResult("database clock", "ok", "agrees with this machine's")
    else:
        which = "ahead of" if cluster.ahead_s > 0 else "behind"
        text = f"this machine's clock is {abs(cluster.ahead_s):.1f} s {which} the database's: have both set by NTP, or "
        text += "times that users see do not fit together; the owner of a thread is decided by the database's alone"
        yield CheckResult("database clock", "note", text)
    text = f"{cluster.free} more can be opened, a node has {node_connections} at most"
    if cluster.free >= node_connections:
        yield CheckResult("database connections", "ok", text)
    else:
        text += ": raise max_connections or the limit of the user or the database, or put PgBouncer between"
        yield CheckResult("database connections", "note" if cluster.nodes else "mend", text)


def _database(settings: Settings) -> CheckResult:
    path = settings.database_folder / DATABASE_FILE
    try:
        version = inspect_database(settings.database_folder)
        if not path.exists():
            return CheckResult("database", "note", f"{path.absolute()} is not there yet; the first start makes it")
    except (DatabaseUnusable, OSError) as error:
        return CheckResult("database", "mend", explain_os_error(error))
    size = path.stat().st_size
    return CheckResult(
        "database", "ok", f"SQLite {sqlite3.sqlite_version}, {size / 1e6:.1f} MB, {describe_schema(version)}"
    )


def _secret(settings: Settings) -> CheckResult:
    if settings.secret:
        return CheckResult("secret", "ok", "from the settings; anonymous sessions are off")
    if not settings.signs:
        return CheckResult("secret", "ok", "none: only the tokens of the identity provider count")
    try:
        if settings.secret_file.exists():
            load_or_create_secret(settings.secret_file)
    except (OSError, ValueError) as error:
        return CheckResult("secret", "mend", explain_os_error(error))
    use = "for `understudy token`; there are no anonymous sessions"
    if settings.anonymous:
        use = "local users get anonymous sessions"
        use += ", and who runs it is its operator" if settings.local_operator else ""
    return CheckResult("secret", "note", f"the server's own, for {settings.host} only; {use}")


def _keys(settings: Settings) -> CheckResult:
    """Fetch the keys as the server would."""
    try:
        keys = trio.run(read_keys, settings.jwt.keys)
    except (FetchFailed, KeySetInvalid, OSError) as error:
        return CheckResult("identity provider", "mend", f"no keys from {settings.jwt.keys}: {error}")
    count = f"{keys.number} keys" + (f", {keys.skipped} of no use here" if keys.skipped else "")
    if settings.jwt.keys.startswith("http://") and not is_loopback(urlsplit(settings.jwt.keys).hostname or ""):
        return CheckResult(
            "identity provider", "note", f"{count}; an attacker on the network path can insert one: use https"
        )
    return CheckResult("identity provider", "ok", count)


def _clock(settings: Settings) -> CheckResult:
    now = time.time()
    reading = f"it says {datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M} UTC"
    if now < EARLIEST_S:
        return CheckResult(
            "clock", "mend", f"{reading}, which is past: set the clock, or session tokens fail when it is set"
        )
    paths = (settings.database_folder / DATABASE_FILE, settings.secret_file)
    try:
        written = max((path.stat().st_mtime for path in paths if path.exists()), default=now)
    except OSError:
        written = now  # an earlier check reports files that cannot be read
    if written > now + CLOCK_SLACK_S:
        later = f"{datetime.fromtimestamp(written, UTC):%Y-%m-%d %H:%M}"
        return CheckResult("clock", "mend", f"{reading}, but the data was written at {later}: set the clock")
    return CheckResult("clock", "ok", reading)


def _port(settings: Settings) -> CheckResult:
    at = f"{settings.host}:{settings.port}"
    if settings.port == 0:
        return CheckResult("port", "note", "any free one; the server prints it when it is ready")
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((settings.host, settings.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return _identify_listener(settings, at)
            text = f"{at} cannot be listened on ({error.strerror}): choose with UNDERSTUDY_HOST and UNDERSTUDY_PORT"
            return CheckResult("port", "mend", text)
    return CheckResult("port", "ok", f"{at} is free; no server runs there")


def _identify_listener(settings: Settings, address: str) -> CheckResult:
    """Identify the program that listens on the port: a server of this program answers `/healthz`."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - not bound, only named
    connection = http.client.HTTPConnection(host, settings.port, timeout=ANSWER_S)
    try:
        connection.request("GET", "/healthz")
        status = json.loads(connection.getresponse().read(65_536))["status"]
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
        text = (
            f"{address} is taken by another program: end that, or choose another with `serve --port` or UNDERSTUDY_PORT"
        )
        return CheckResult("port", "mend", text)
    finally:
        connection.close()
    return CheckResult("port", "note", f"a server already answers on {address} (/healthz says {str(status)[:40]!r})")


def _models(settings: Settings, agents: Sequence[Agent], ask: bool) -> Iterator[CheckResult]:
    """Check each model of the settings and of these agents. `ask`: whether its provider is asked."""
    models = [subagent.model for subagent in with_subagents(agents).values() if isinstance(subagent.model, str)]
    try:
        names = dict.fromkeys(name for model in (settings.model, *models) for name in chain(model))
    except ValueError as error:
        yield CheckResult("model", "mend", str(error))
        return
    for name in names:
        result = inquire(name, settings.providers, chosen(settings.extensions), ask=ask)
        yield CheckResult("model", result.state, result.text)
    if settings.output_tokens < settings.models.max_output:
        limited = f"replies have at most {settings.output_tokens:,} tokens, half of models.window_tokens"
        yield CheckResult(
            "models.max_output", "note", f"{limited}; models.max_output is {settings.models.max_output:,}"
        )


def describe_schema(version: str | None) -> str:
    """Describe the schema version of a database; None for one without tables."""
    if version is None:
        return "no tables yet; the first start makes them"
    if is_behind(version):
        return "an older schema, which the next start brings up to date"
    return "schema up to date" if version == HEAD else "the schema of a later release, which this one can use"
