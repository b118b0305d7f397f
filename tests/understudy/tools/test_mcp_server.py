"""How an MCP server is named."""

import os
from typing import Any

import pytest

from understudy import Agent, mcp, tool


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("npx -y @modelcontextprotocol/server-everything@1.2", "everything"),
        ("uvx mcp-server-time --local-timezone=UTC", "time"),
        ("python -m mcp_server_fetch", "fetch"),
        (["/usr/bin/python3", "/srv/my_server.py"], "my"),
        ("https://mcp.linear.app/mcp", "linear"),
        ("http://127.0.0.1:8000/mcp", "mcp"),
        ("http://localhost/", "mcp"),
    ],
)
def test_a_name_is_made_of_the_target(target: Any, name: str) -> None:
    assert mcp(target).name == name
    assert mcp(target, name="other").name == "other"


@pytest.mark.parametrize(
    ("target", "options", "why"),
    [
        ("", {}, "names no MCP server"),
        ("ftp://example.org/", {}, "begins with http"),
        ("https://ann:pw@example.org/", {}, "no user name"),
        ("https://example.org/", {"env": ["KEY"]}, "for commands"),
        ("server", {"headers": {"A": "b"}}, "headers are for addresses"),
        ("server", {"name": "Not a name"}, "cannot be an MCP server's name"),
        ("server", {"timeout_s": 0}, "timeout_s"),
        ("server", {"auth": "user"}, "for an address"),
        ("https://example.org/", {"auth": "bearer"}, "auth is 'user'"),
        ("http://example.org/", {"auth": "user"}, "over https only"),
        ("https://example.org/", {"auth": "user", "headers": {"authorization": "x"}}, "must not have Authorization"),
        ("https://example.org/", {"auth": "user", "client_secret": "x"}, "needs client_id"),
        ("https://example.org/", {"scope": "notes"}, "for auth='user'"),
    ],
)
def test_a_bad_declaration_says_what_is_wrong(target: str, options: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        mcp(target, **options)


def test_a_command_has_the_named_variables_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_FOR_IT", "t")
    monkeypatch.setenv("UNDERSTUDY_SECRET", "s")
    assert mcp("server", env=["TOKEN_FOR_IT"]).environment()["TOKEN_FOR_IT"] == "t"
    environment = mcp("server", env={"A": "b"}).environment()
    assert (environment["A"], environment["PATH"]) == ("b", os.environ["PATH"])
    assert "UNDERSTUDY_SECRET" not in environment
    with pytest.raises(ValueError, match="NOT_SET"):
        mcp("server", env=["NOT_SET"]).environment()
    assert "b" not in repr(mcp("server --key=b", env={"A": "b"})).split("name='server'")[1]


def test_an_agent_keeps_servers_apart_from_tools() -> None:
    @tool
    async def own() -> str:
        """Give nothing."""
        return ""

    agent = Agent("a", tools=[own, mcp("server")])
    assert ([shown.name for shown in agent.tools], [server.name for server in agent.servers]) == (["own"], ["server"])
    assert agent.may_have("server_x")
    assert not agent.may_have("other_x")
    with pytest.raises(ValueError, match="two MCP servers of one name"):
        Agent("a", tools=[mcp("server"), mcp("server")])
