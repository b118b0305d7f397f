"""The table of hooks in the settings."""

from pathlib import Path
from typing import Any

import pytest

from understudy.app.settings import BadSettings, load
from understudy.chat.hooks.hook import Hook, read_hooks

SECRET = "a signing secret of Slack's"


def test_a_hook_is_read_with_its_secrets_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token in a file too; neither is shown."""
    token = tmp_path / "token"
    token.write_text("xoxb-1\n")
    token.chmod(0o600)
    monkeypatch.setenv("UNDERSTUDY_HOOK_SLACK_SECRET", SECRET)
    monkeypatch.setenv("UNDERSTUDY_HOOK_SLACK_TOKEN_FILE", str(token))
    (tmp_path / "understudy.toml").write_text(
        '[understudy.hooks.slack]\nuser = "slack"\nagent = "guide"\nreply_url = "https://slack.com/api/chat.postMessage"\n'
    )
    monkeypatch.chdir(tmp_path)
    settings = load()
    wanted = Hook("slack", "slack", SECRET, None, "guide", "https://slack.com/api/chat.postMessage", "xoxb-1")
    assert settings.hooks == {"slack": wanted}
    assert SECRET not in repr(settings)
    assert "xoxb" not in repr(settings)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "must be a table"),
        ({"slack": 1}, "hooks.slack must be a table"),
        ({"Slack": {"user": "x"}}, "wrong name"),
        ({"slack": {}}, "needs user"),
        ({"slack": {"user": "x", "users": "y"}}, "unknown member users"),
        ({"slack": {"user": 1}}, "must be a text"),
        ({"slack": {"user": "x", "reply_url": "slack.com"}}, "must be an address"),
        ({"other": {"user": "x"}}, "UNDERSTUDY_HOOK_OTHER_SECRET"),
    ],
)
def test_a_fault_is_a_sentence_that_names_the_hook(given: Any, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_HOOK_SLACK_SECRET", SECRET)
    hooks, (fault,) = read_hooks(given)
    assert hooks == {}
    assert words in fault


def test_a_server_does_not_start_with_a_wrong_hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "understudy.toml").write_text('[understudy.hooks.slack]\nuser = "slack"\n')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadSettings, match=r"UNDERSTUDY_HOOK_SLACK_SECRET.*understudy\.toml"):
        load()
