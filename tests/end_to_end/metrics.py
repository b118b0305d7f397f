"""A figure of a server, as Prometheus reads it."""

from tests.rigs.http import request
from tests.rigs.tokens import token_of


async def metric(address: str, line: str) -> float:
    _, _, text = await request(address, "GET", "/metrics", token=token_of("prometheus", roles=["metrics"]))
    return next((float(each.rsplit(" ", 1)[1]) for each in text.splitlines() if each.startswith(line)), 0.0)
