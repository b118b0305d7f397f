"""Settings whose optional dependency is not installed."""

import copy
import importlib
import pickle
import sys

import pytest

from understudy.storage.errors import ExtraNotInstalled


@pytest.mark.parametrize(
    ("module", "missing", "setting", "extra"),
    [
        ("extensions.accounts.passkeys", "webauthn", "accounts", "accounts"),
        ("extensions.accounts.passwords", "argon2", "accounts", "accounts"),
        ("storage.postgresql", "psycopg", "database_url", "postgres"),
        ("extensions.nodes.redis", "coredis", "nodes.redis_url", "redis"),
    ],
)
def test_a_module_without_its_library_names_the_setting_and_the_extra(
    monkeypatch: pytest.MonkeyPatch, module: str, missing: str, setting: str, extra: str
) -> None:
    name = f"understudy.{module}"
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(ExtraNotInstalled, match=rf"{setting}.* needs the extra {extra}: pip install") as caught:
        importlib.import_module(name)
    error = caught.value
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (twin.setting, twin.extra, str(twin)) == (error.setting, extra, str(error))
