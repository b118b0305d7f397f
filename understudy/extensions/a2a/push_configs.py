"""The methods for the push notification configs of an A2A task. Their responses do not contain the secrets."""

import uuid
from typing import Any, TypeAlias

from understudy.chat.routing import check_id
from understudy.extensions.a2a import storage
from understudy.extensions.a2a.errors import A2aError
from understudy.extensions.a2a.params import OfPush, PushConfig
from understudy.extensions.a2a.pushes import PushReceivers, PushSecrets
from understudy.extensions.a2a.storage import Push, drop_push
from understudy.storage.records import RunRecord
from understudy.web.context import identity, web_context

Checked: TypeAlias = tuple[str, str, PushSecrets]
"""The id, URL and secrets of a checked config."""


def receivers() -> PushReceivers:
    """Return the receivers of the current request's server."""
    return PushReceivers.of(web_context())


def check_config(config: PushConfig, name: str = "") -> Checked:
    """Check a client's config. Its id is its own, or `name`, or a random one.

    Raises:
        CommandRejected: The id, the URL or a secret is not valid (`PushReceivers.check`).
    """
    name, authentication = config.id or name or uuid.uuid4().hex, config.authentication or {}
    check_id("id", name)
    secrets = PushSecrets(config.token or "", authentication.get("scheme", ""), authentication.get("credentials", ""))
    return name, receivers().check(config.url, secrets), secrets


async def create_config(run: RunRecord, config: PushConfig) -> dict[str, Any]:
    """Store a config of a task, replacing one with the same id. Return it. Raises CommandRejected."""
    return _config_of(await receivers().add(run, *check_config(config)))


async def get_config(run: RunRecord, params: OfPush) -> dict[str, Any]:
    """Return a config of a task. Raises A2aError."""
    rows = [row for row in await web_context().store.read(storage.of_run, run.owner, run.id) if row.id == params.id]
    if not rows:
        raise A2aError("TASK_NOT_FOUND", "The task has no push notification config of that id.")
    return _config_of(rows[0])


async def list_configs(run: RunRecord, _: OfPush) -> dict[str, Any]:
    """Return all configs of a task in one page, because there are at most `MOST_OF_RUN`."""
    rows = await web_context().store.read(storage.of_run, run.owner, run.id)
    return {"configs": [_config_of(row) for row in rows], "nextPageToken": ""}


async def delete_config(run: RunRecord, params: OfPush) -> dict[str, Any]:
    """Remove a config of a task, if it exists."""
    await web_context().store.commit(drop_push(identity().user, run.id, params.id))
    return {}


def _config_of(push: Push) -> dict[str, Any]:
    secrets = receivers().secrets_of(push)
    config: dict[str, Any] = {"taskId": push.run_id, "id": push.id, "url": push.url}
    return config | ({"authentication": {"scheme": secrets.scheme}} if secrets and secrets.scheme else {})
