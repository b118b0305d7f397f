"""Users and operators of two tenants of one server."""

from typing import Any

from tests.rigs.chat_client import connected
from tests.rigs.http import request
from tests.rigs.tokens import SECRET, token
from understudy import Agent
from understudy.app.server import Running

ADA, BOB = token("ada", org="acme"), token("bob", org="other")
ACME_OPERATOR, SERVER_OPERATOR = token("op", "operator", org="acme"), token("root", "server_operator")
PLAIN_OPERATOR = token("plain", "operator")


async def of_tenants(serve: Any, *agents: Agent, **settings: Any) -> Running:
    """Start a server whose tokens name a tenant."""
    running: Running = await serve(*agents, secret=SECRET, tenant_claim="org", **settings)
    return running


WORDS = "words-of-ada"


async def ask(
    running: Running, path: str, who: str = SERVER_OPERATOR, method: str = "GET", **body: Any
) -> tuple[int, Any]:
    """Send a request as an operator. Return the status and the decoded body."""
    return (await request(running.address, method, path, token=who, body=body or b""))[::2]


async def read(running: Running, path: str, who: str = SERVER_OPERATOR) -> Any:
    """Return the decoded body at a path that an operator may read."""
    status, body = await ask(running, path, who)
    assert status == 200, body
    return body


async def talk(running: Running, who: str, name: str) -> None:
    """Have an agent answer a user."""
    async with connected(running.address, who) as client:
        await client.ask(WORDS, agent_type=name)
