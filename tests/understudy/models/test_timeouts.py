"""Times of models: read from settings, and given to their clients."""

from pathlib import Path

import pytest

from understudy.app.settings import BadSettings, load
from understudy.models.registry import Models
from understudy.models.timeouts import read_timeouts, timeouts_of

TABLE = {"anthropic": {"first_token_s": 60, "idle_s": 20}, "anthropic:slow": {"first_token_s": 600}}


def test_a_models_own_times_go_before_its_providers() -> None:
    given, faults = read_timeouts(TABLE)
    assert faults == []
    assert timeouts_of("anthropic:slow", given) == {"first_token_s": 600.0, "idle_s": 20.0}
    assert timeouts_of("anthropic:other", given) == {"first_token_s": 60.0, "idle_s": 20.0}
    assert timeouts_of("openai:other", given) == {}


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (7, "must be a table"),
        ({"openai": 7}, "must be a table with first_token_s or idle_s"),
        ({"openai": {"idle": 1}}, "has an unknown member idle"),
        ({"openai": {"idle_s": 0}}, "must be a number of seconds above 0, 3,600 at most"),
        ({"openai": {"idle_s": True}}, "must be a number of seconds above 0"),
        ({"openai": {"idle_s": 1e9}}, "3,600 at most"),
    ],
)
def test_a_faulty_table_is_a_sentence(given: object, fault: str) -> None:
    (found,) = read_timeouts(given)[1]
    assert fault in found


@pytest.mark.blocking("the providers' packages build their clients, for some hundred ms each")
async def test_each_client_has_its_times(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI", "ANTHROPIC"):
        monkeypatch.setenv(f"{name}_API_KEY", "sk-test")
    times = {name: {"first_token_s": 77.0, "idle_s": 7.0} for name in ("openai", "openai-chat", "anthropic")}
    models = Models("openai:a, openai-chat:a, anthropic:a", 50.0, timeouts=times)
    for name in times:
        found = vars(models.of(f"{name}:a").model)  # type: ignore[attr-defined]
        client = found.get("_client", found.get("client"))
        assert 77.0 in {*_numbers(found), *_numbers(vars(client))}
        assert 7.0 in {*_numbers(found), *_numbers(vars(client))}
    await models.aclose()


def _numbers(members: dict[str, object]) -> list[float]:
    return [each for each in members.values() if isinstance(each, float)]


def test_they_stand_in_the_settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "understudy.toml").write_text('[understudy.models.timeouts."openai-chat"]\nfirst_token_s = 300\n')
    assert load().timeouts == {"openai-chat": {"first_token_s": 300.0}}
    (tmp_path / "understudy.toml").write_text("[understudy.models.timeouts.openai]\nidle_s = -1\n")
    with pytest.raises(BadSettings, match="above 0"):
        load()
