"""A figure of a server, as Prometheus reads it."""

from tests.rigs.http import request
from tests.rigs.tokens import token_of


async def metric(address: str, line: str) -> float:
    _, _, text = await request(address, "GET", "/metrics", token=token_of("prometheus", roles=["metrics"]))
    return next((float(sample.rsplit(" ", 1)[1]) for sample in text.splitlines() if sample.startswith(line)), 0.0)
