"""The command `understudy admin sign-ins`."""

import click

from understudy.cli.admin import AskedServer, moment, text, who
from understudy.cli.options import TENANT


@click.command("sign-ins")
@TENANT
@click.pass_obj
def sign_ins(remote: AskedServer, tenant: str | None) -> None:
    """List who is signed in at which MCP server."""
    answer = remote.ask("GET", "/api/admin/sign-ins", tenant=tenant)
    columns = {"user": who, "server": text("server"), "since": moment("signed_in_at")}
    remote.show(answer, answer["sign_ins"], columns)
