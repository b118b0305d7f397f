"""What a model is shown of what was said before: the way from the root of the thread to the message, or its end."""

from attrs import field, frozen

from understudy.chat.messages import RunRequest
from understudy.chat.services import Services
from understudy.models.model import ChatMessage


@frozen
class History:
    """The earlier messages, oldest first; `left_out` even earlier ones are not among them."""

    messages: tuple[ChatMessage, ...] = field(repr=False)
    left_out: int = 0

    @property
    def model_note(self) -> str:
        """The line of a model's instructions that says how many messages it is not shown; empty for none."""
        if not self.left_out:
            return ""
        return f"{self.left_out:,} earlier messages of this conversation were left out."

    @property
    def user_note(self) -> str:
        """The same for the user."""
        shown, left_out = f"{len(self.messages):,} messages", f"{self.left_out:,} older ones were"
        if self.left_out == 1:
            left_out = "1 older one was"
        return f"Only the last {shown} of this conversation were read; {left_out} left out."


async def read_history(services: Services, job: RunRequest) -> History:
    """Read what was said before the message of a run, at most `history_messages` of it.

    Raises:
        StorageUnavailable: It cannot be read.
    """
    history = await services.store.history(job.owner, job.message_id, services.limits.history_messages)
    said = (ChatMessage("user" if row.role == "user" else "assistant", row.content) for row in history.messages)
    return History(tuple(said), history.left_out)
