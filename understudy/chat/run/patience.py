"""How long a question waits for its user: longer if no page of theirs is open, as they have not seen it then."""

from collections import Counter

from attrs import define, field

from understudy.storage.limits import RunLimits

MOST_OF_USER = 10
"""Questions of a user that wait the longer time at once. Their runs count as waiting, so one user must not fill the
queue (`understudy.chat.run_limiter`)."""
SHARE = 4
"""The questions of all users together that do take at most this part of `runs_waiting`: one in four."""


@define(eq=False)
class Patience:
    """The questions on this node that wait for the longer time, by owner."""

    limits: RunLimits
    _waiting: Counter[str] = field(factory=Counter, init=False)

    def wait_s(self, owner: str, *, present: bool) -> float:
        """Return for how many seconds a new question waits. `present`: the user has a connection open here."""
        full = self._waiting[owner] >= MOST_OF_USER or self._waiting.total() >= self.limits.runs_waiting // SHARE
        if present or full:
            return self.limits.approval_s
        return max(self.limits.approval_s, self.limits.approval_unseen_s)

    def longest_s(self) -> float:
        """Return for how many seconds a question waits at most."""
        return max(self.limits.approval_s, self.limits.approval_unseen_s)

    def begin(self, owner: str, left_s: float) -> None:
        """Count a question that waits `left_s` more seconds."""
        self._waiting[owner] += left_s > self.limits.approval_s

    def end(self, owner: str, left_s: float) -> None:
        """Count it no more: as for `begin`."""
        self._waiting[owner] -= left_s > self.limits.approval_s
        if not self._waiting[owner]:
            del self._waiting[owner]
