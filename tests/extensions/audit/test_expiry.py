"""Old entries of the audit log expire."""

import time
from types import SimpleNamespace
from typing import Any

import pytest

from understudy.extensions.audit import EXTENSION
from understudy.extensions.audit.settings import AuditSettings
from understudy.extensions.audit.storage import append_entry
from understudy.extensions.notices.alert_routes import SENT
from understudy.storage import polling
from understudy.storage.acts import PAGE, Deed
from understudy.storage.spending import DAY_S


async def test_entries_expire_if_the_operator_says_so(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest stays, as its number must not be given again."""
    later = time.time() + 3 * DAY_S
    monkeypatch.setattr(time, "time", lambda: later)
    monkeypatch.setattr(polling, "RESTS", 0.0)
    for _ in range(3):
        await store.commit(append_entry(Deed(SENT, "ann", PAGE)))
    removed: list[tuple[str, int]] = []
    metrics = SimpleNamespace(removed=lambda *gone: removed.append(gone))

    def server_with(settings: AuditSettings) -> Any:
        return SimpleNamespace(store=store, settings=SimpleNamespace(of=lambda _: settings), metrics=metrics)

    for days, expected in ((4.0, []), (2.0, [("audit_entries", 2)]), (2.0, [("audit_entries", 2)])):
        (child,) = EXTENSION.children(server_with(AuditSettings(days=days)))
        await child.factory().poll()
        assert removed == expected
    assert EXTENSION.children(server_with(AuditSettings())) == []
