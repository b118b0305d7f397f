"""What the log says of the models of a server that starts. What `understudy doctor` says is in its own tests."""

import logging
from typing import Any

import pytest
from attrs import evolve

from tests.rigs.heard import provider as provider
from tests.rigs.model_provider import KEY, Provider, Script
from tests.servers.needed import free_port
from understudy.models.inquiry import log_not_ready
from understudy.models.providers import BUILT_IN

pytestmark = [
    pytest.mark.filterwarnings("ignore:Async generator '(httpx2|httpcore|openai):ResourceWarning"),
    pytest.mark.blocking("the provider's package builds what it needs at its first request"),
]


async def logged(caplog: pytest.LogCaptureFixture, **clients: str) -> list[tuple[str, Any]]:
    """Return the levels and details that are logged for models of these names at these addresses."""
    caplog.set_level(logging.INFO, "understudy")
    made = {
        f"openai-chat:{name}": evolve(BUILT_IN["openai-chat"], url=url, key=KEY).open(name, None, {})
        for name, url in clients.items()
    }
    try:
        await log_not_ready(made)
    finally:
        for client in made.values():
            await client.aclose()
    records = [record for record in caplog.records if record.getMessage() == "model.not_ready"]
    return [(record.levelname, record.__dict__["detail"]) for record in records]


async def test_a_server_that_is_not_there_is_named(provider: Provider, caplog: pytest.LogCaptureFixture) -> None:
    provider.models["tiny"] = {}
    ((level, detail),) = await logged(caplog, gone=f"http://127.0.0.1:{free_port()}/v1", tiny=provider.url)
    assert level == "WARNING"
    assert detail.startswith("openai-chat:gone: the provider cannot be reached")


async def test_a_server_that_loads_its_model_is_starting(provider: Provider, caplog: pytest.LogCaptureFixture) -> None:
    provider.scripts = [Script(status=503, error={"message": "Loading model", "code": 503})]
    assert await logged(caplog, tiny=provider.url) == [
        ("INFO", "openai-chat:tiny: the server is starting, and loads its model")
    ]
