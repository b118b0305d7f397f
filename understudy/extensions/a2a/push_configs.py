"""The push notification configs of an A2A task: where a client wants to be told of it. Secrets are not given back."""

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
"""Id, address and secrets of a config that was checked."""


def receivers() -> PushReceivers:
    """Return the receivers of the current request's server."""
    return PushReceivers.of(web_context())


def check_config(given: PushConfig, name: str = "") -> Checked:
    """Return the config that a client gives, by its id, else `name`, else one that is made.

    Raises:
        CommandRejected: The id is malformed, or see `PushReceivers.check`.
    """
    name, about = given.id or name or uuid.uuid4().hex, given.authentication or {}
    check_id("id", name)
    secrets = PushSecrets(given.token or "", about.get("scheme", ""), about.get("credentials", ""))
    return name, receivers().check(given.url, secrets), secrets


async def create_config(run: RunRecord, given: PushConfig) -> dict[str, Any]:
    """Store a config of a task, in place of the one with its id. Return it. Raises CommandRejected."""
    return _config_of(await receivers().add(run, *check_config(given)))


async def get_config(run: RunRecord, given: OfPush) -> dict[str, Any]:
    """Return a config of a task. Raises A2aError."""
    rows = [row for row in await web_context().store.read(storage.of_run, run.owner, run.id) if row.id == given.id]
    if not rows:
        raise A2aError("TASK_NOT_FOUND", "The task has no push notification config of that id.")
    return _config_of(rows[0])


async def list_configs(run: RunRecord, _: OfPush) -> dict[str, Any]:
    """Return all configs of a task: there are few."""
    rows = await web_context().store.read(storage.of_run, run.owner, run.id)
    return {"configs": [_config_of(row) for row in rows], "nextPageToken": ""}


async def delete_config(run: RunRecord, given: OfPush) -> dict[str, Any]:
    """Remove a config of a task, if it is there."""
    await web_context().store.commit(drop_push(identity().user, run.id, given.id))
    return {}


def _config_of(push: Push) -> dict[str, Any]:
    secrets = receivers().secrets_of(push)
    config: dict[str, Any] = {"taskId": push.run_id, "id": push.id, "url": push.url}
    return config | ({"authentication": {"scheme": secrets.scheme}} if secrets and secrets.scheme else {})
