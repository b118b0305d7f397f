"""A program that uses the HTTP interface of runs."""

from typing import Any

import trio

from tests.rigs.http import request


class Caller:
    """Requests of one user. Each fails unless it has the status given."""

    def __init__(self, running: Any, token: str) -> None:
        self.running, self.token = running, token

    async def get(self, path: str, status: int = 200) -> Any:
        answered, _, body = await request(self.running.address, "GET", path, token=self.token)
        assert answered == status, body
        return body

    async def post(self, path: str, status: int = 202, key: str | None = None, **body: Any) -> Any:
        answered, _, answer = await request(
            self.running.address,
            "POST",
            path,
            token=self.token,
            body=body or b"",
            headers={} if key is None else {"Idempotency-Key": key},
        )
        assert answered == status, answer
        return answer

    async def send(self, method: str, path: str, status: int = 200, **body: Any) -> Any:
        answered, _, answer = await request(self.running.address, method, path, token=self.token, body=body or b"")
        assert answered == status, answer
        return answer

    async def ended(self, run_id: str) -> Any:
        return await self.until(run_id, "ended_at")

    async def until(self, run_id: str, member: str) -> Any:
        """Ask for the run until this member is neither null nor empty. Return the run."""
        with trio.fail_after(60):
            while not (run := await self.get(f"/api/runs/{run_id}"))[member]:  # noqa: ASYNC110 - as a client asks
                await trio.sleep(0.02)
        return run


SOON_S = 60.0


async def inbox(caller: Caller, **counts: int) -> Any:
    """Ask for the inbox until it has these counts. Return it."""
    with trio.fail_after(SOON_S):
        while True:
            items = await caller.get("/api/inbox")
            assert {name: len(items[name]) for name in items["counts"]} == items["counts"]
            if counts.items() <= items["counts"].items():
                return items
            await trio.sleep(0.05)
