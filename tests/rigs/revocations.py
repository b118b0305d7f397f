"""Revocations in memory, for tests of what asks them."""

from understudy.auth.revocation import RevokedSessions


class RevocationsInMemory(RevokedSessions):
    """Which sessions have ended."""

    async def persist(self, name: str, until: float) -> None:
        self.check_room()
        self.merge({name: until})
