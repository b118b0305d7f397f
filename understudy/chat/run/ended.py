"""Why a run closes before its model has finished. Pure."""

from typing import Any, Final

from attrs import frozen

CLOSE: Final = "Answer the user with what you have, and say what is missing."
"""What a model is asked for in a closing turn."""


@frozen
class Ended:
    """Why a run closes before its model has finished: the budget or other bound by name, its value, and a sentence."""

    ended_by: str
    limit: float
    spent: float
    message: str

    def data(self) -> dict[str, Any]:
        """Return the member `budget` of the final event's data."""
        return {"ended_by": self.ended_by, "limit": self.limit, "spent": self.spent, "message": self.message}
