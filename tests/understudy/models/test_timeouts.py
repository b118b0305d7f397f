"""Times of models: read from settings, and given to their clients."""

import pytest

from understudy.models.registry import Models
from understudy.models.timeouts import IDLE_S, Times, timeouts_of

TABLE = {"anthropic": Times(60.0, 20.0), "anthropic:slow": Times(600.0)}


def test_a_models_own_times_go_before_its_providers() -> None:
    assert timeouts_of("anthropic:slow", TABLE) == {"first_token_s": 600.0, "idle_s": 20.0}
    assert timeouts_of("anthropic:other", TABLE) == {"first_token_s": 60.0, "idle_s": 20.0}
    assert timeouts_of("openai:other", TABLE) == {}


@pytest.mark.blocking("the providers' packages build their clients, for some hundred ms each")
async def test_each_client_has_its_times(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI", "ANTHROPIC"):
        monkeypatch.setenv(f"{name}_API_KEY", "sk-test")
    names = ("openai", "openai-chat", "anthropic")
    for times, expected in (({name: Times(77.0, 7.0) for name in names}, 7.0), ({}, IDLE_S)):
        models = Models("openai:a, openai-chat:a, anthropic:a", 50.0, timeouts=times)
        for name in names:
            client = models.of(f"{name}:a").model.client  # type: ignore[attr-defined]
            assert client.idle_s == expected
            assert (client.first_token_s == 77.0) is bool(times)
        await models.aclose()
    assert IDLE_S > 90


@pytest.mark.parametrize("name", ["first_token_s", "idle_s"])
@pytest.mark.parametrize("seconds", [0.0, -1.0, float("inf"), float("nan")])
def test_a_deadline_is_a_time(name: str, seconds: float) -> None:
    with pytest.raises(ValueError, match=name):
        Times(**{name: seconds})
