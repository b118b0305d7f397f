"""An agent whose call waits for approval, and the answer of its user."""

from typing import Any

from tests.rigs.chat_client import ChatClient
from tests.rigs.scripted_model import Call, Say, scripted
from understudy import Agent

MAIL = {"to": "anna@example.org", "text": "x" * 5000}


def mailing(*, timeout_s: float = 30.0) -> Agent:
    """Return an agent that sends a mail, which needs approval."""
    return scripted(Call([("send_mail", MAIL)]), Say("Done"), timeout_s=timeout_s)


async def approve(client: ChatClient, required: dict[str, Any], decision: str, note: str | None = None) -> None:
    """Decide on the call of an event `approval_required`."""
    payload = {"call_id": required["data"]["call_id"], "decision": decision, "note": note}
    await client.send({"type": "approve", "payload": payload})


async def asked(client: ChatClient, **payload: Any) -> dict[str, Any]:
    """Say something. Return the event with which the agent asks for approval."""
    return await client.ask("go", agent_type="script", until="approval_required", **payload)


def completed(client: ChatClient) -> dict[str, Any]:
    """Return the data of the first completed call."""
    return next(event["data"] for event in client.seen if event["type"] == "tool_completed")
