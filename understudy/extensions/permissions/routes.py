"""`/api/threads/ID/consents`: the tools that the caller has allowed always in a thread."""

from typing import Literal

from understudy.chat.routing import check_id
from understudy.extensions.permissions.consents import Consent, of_thread
from understudy.web.api.threads import existing
from understudy.web.context import identity, web_context
from understudy.web.routes import OF_ONE, Routes
from understudy.wire.commands import Disallow

blueprint = Routes("consents", __name__, url_prefix="/api/threads/<thread_id>/consents")


@blueprint.get("", errors=OF_ONE)
async def consents(thread_id: str) -> dict[Literal["consents"], list[Consent]]:
    """List the tools that the caller has allowed always in this thread."""
    await existing(thread_id)
    return {"consents": await web_context().store.read(of_thread, identity().user, thread_id)}


@blueprint.delete("/<tool_name>", errors=(*OF_ONE, "rate_limited"))
async def disallow(thread_id: str, tool_name: str) -> None:
    """Take back the consent to call a tool always in this thread."""
    check_id("thread_id", thread_id)
    await web_context().chat.run_command(identity(), Disallow(thread_id, tool_name))
