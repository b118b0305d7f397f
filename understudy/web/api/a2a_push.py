"""The push notification configs of an A2A task: where a client wants to be told of it. Secrets are not given back."""

import uuid
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from transport.wire.errors import CommandRejected
from understudy.chat.pushes import PushSecrets
from understudy.chat.routing import check_id
from understudy.storage.pushes import DropPush, Push
from understudy.storage.records import RunRecord
from understudy.web.context import identity, web_context


@frozen
class PushConfig:
    """A config that was checked."""

    id: str
    url: str
    secrets: PushSecrets


def read_config(params: Mapping[str, Any]) -> PushConfig:
    """Return the config that a client gives.

    Raises:
        CommandRejected: It is malformed, or see `PushReceivers.check`.
    """
    name = params.get("id") or uuid.uuid4().hex
    about = params.get("authentication") or {}
    if not isinstance(about, dict):
        raise CommandRejected("invalid_command", "The authentication must be an object.")
    given = [params.get("token") or "", about.get("scheme") or "", about.get("credentials") or ""]
    if not all(isinstance(each, str) for each in (name, *given)):
        raise CommandRejected("invalid_command", "The fields of a push notification config must be texts.")
    check_id("id", name)
    secrets = PushSecrets(*given)
    return PushConfig(name, web_context().pushes.check(params.get("url"), secrets), secrets)


async def create_config(run: RunRecord, params: Mapping[str, Any]) -> dict[str, Any]:
    """Store a config of a task, in place of the one with its id. Return it. Raises CommandRejected."""
    return _config_of(await store_config(run, read_config(params)))


async def store_config(run: RunRecord, config: PushConfig) -> Push:
    """Store a config of a task, in place of the one with its id. Raises CommandRejected: there are too many."""
    return await web_context().pushes.add(run, config.id, config.url, config.secrets)


async def get_config(run: RunRecord, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config of a task. Raises CommandRejected `not_found`."""
    found = [each for each in await web_context().store.pushes(run.owner, run.id) if each.id == params.get("id")]
    if not found:
        raise CommandRejected("not_found", "The task has no push notification config of that id.")
    return _config_of(found[0])


async def list_configs(run: RunRecord, _: Mapping[str, Any]) -> dict[str, Any]:
    """Return all configs of a task: there are few."""
    found = await web_context().store.pushes(run.owner, run.id)
    return {"configs": [_config_of(each) for each in found], "nextPageToken": ""}


async def delete_config(run: RunRecord, params: Mapping[str, Any]) -> dict[str, Any]:
    """Remove a config of a task, if it is there."""
    await web_context().store.commit(DropPush(identity().user, run.id, str(params.get("id"))))
    return {}


def _config_of(push: Push) -> dict[str, Any]:
    secrets = web_context().pushes.secrets_of(push)
    config: dict[str, Any] = {"taskId": push.run_id, "id": push.id, "url": push.url}
    return config | ({"authentication": {"scheme": secrets.scheme}} if secrets and secrets.scheme else {})
