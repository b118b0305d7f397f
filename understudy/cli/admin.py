"""`understudy admin`: commands for operators of a running server, over its HTTP API with an operator's token.

Answers are printed as tables, or with `--json` as the server's JSON. Tokens are never printed.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import quote, urlencode

import click

from understudy.cli.extended import ExtendedGroup
from understudy.cli.options import load_settings, operator_of
from understudy.cli.output import one_line, print_table

Row: TypeAlias = Mapping[str, Any]
TENANT: Final = click.option("--tenant", help="Only users of this tenant.")


class AskedServer:
    """A running server that commands ask as an operator. `as_json`: answers are printed as the server's JSON."""

    def __init__(self, url: str, token: str, *, as_json: bool) -> None:
        self.url, self.token, self.as_json = url, token, as_json

    def ask(self, method: str, path: str, body: Row | None = None, **query: Any) -> dict[str, Any]:
        """Send a request. Return the answer. Raises ClickException with the server's sentence."""
        import trio

        from understudy.cli.server_address import ServerAddress, ServerFailed

        parameters = {name: value for name, value in query.items() if value is not None}
        target = f"{path}?{urlencode(parameters)}" if parameters else path

        async def send() -> dict[str, Any]:
            return await ServerAddress.parse(self.url).ask(method, target, self.token, body)

        try:
            return trio.run(send)
        except ServerFailed as failed:
            raise click.ClickException(str(failed)) from None

    def show(self, answer: Row, rows: Sequence[Row], columns: Mapping[str, Callable[[Row], str]]) -> None:
        """Print an answer: its rows as a table, or the whole answer as JSON. `columns` has a cell's text by heading."""
        if self.as_json:
            click.echo(json.dumps(answer, ensure_ascii=False))
            return
        cells = [[one_line(cell(row)) for cell in columns.values()] for row in rows]
        print_table([list(columns), *cells] if cells else [["none"]])


@click.group(cls=ExtendedGroup)
@click.option("--url", help="Address of the server [http://127.0.0.1:8002].")
@click.option("--token", "session_token", envvar="UNDERSTUDY_TOKEN", help="An operator's token; also UNDERSTUDY_TOKEN.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Data folder of the server, for its secret [data].")
@click.option("--json", "as_json", is_flag=True, help="Print the server's answer as JSON.")
@click.pass_context
def admin(
    context: click.Context, url: str | None, session_token: str | None, data_dir: Path | None, as_json: bool
) -> None:
    """Administer a running server: users, runs, spending, sign-ins, stops and settings.

    Without a token one is made with the secret of the server, if that is on this machine.
    """
    settings = load_settings(data_dir=data_dir)
    context.obj = AskedServer(*operator_of(settings, url, session_token), as_json=as_json)


@admin.command("sign-out")
@click.argument("user")
@click.option("--tenant", help="Tenant of the user.")
@click.option("--own", is_flag=True, help="Say that you mean yourself.")
@click.pass_obj
def sign_out(remote: AskedServer, user: str, tenant: str | None, own: bool) -> None:
    """End all sessions of a user."""
    path = f"/api/users/{quote(user, safe='')}/sessions"
    remote.ask("DELETE", path, tenant=tenant, own="true" if own else None)
    remote.show(answer := {"user": user, "tenant": tenant}, [answer], {"signed out": who})


def who(row: Row) -> str:
    """Return the text of a cell: the user of a row, with the tenant if there is one."""
    return str(row["user"]) if row["tenant"] is None else f"{row['user']} ({row['tenant']})"


def text(name: str) -> Callable[[Row], str]:
    """Return a column of texts."""
    return lambda row: str(row[name])


def number(name: str) -> Callable[[Row], str]:
    """Return a column of whole numbers."""
    return lambda row: f"{row[name]:,}"


def seconds(name: str) -> Callable[[Row], str]:
    """Return a column of durations."""
    return lambda row: f"{row[name]:,.0f} s"


def moment(name: str) -> Callable[[Row], str]:
    """Return a column of times, in UTC; a cell without a time is empty."""
    return lambda row: "" if row[name] is None else time.strftime("%Y-%m-%d %H:%M", time.gmtime(row[name]))


def money(row: Row, currency: str) -> str:
    """Return the text of a cell: the cost of a row; empty without a cost."""
    return f"{row['cost']:,.4g} {currency}".strip() if row["cost"] else ""
