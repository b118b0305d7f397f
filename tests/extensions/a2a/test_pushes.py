"""Push notifications of A2A: the stock client asks for them, and a local server is told, over failures and restarts."""

import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from a2a.types import a2a_pb2 as a2a
from a2a.utils.errors import InternalError, InvalidParamsError, TaskNotFoundError
from google.protobuf.json_format import ParseDict
from typed_settings import SecretStr

from tests.rigs.a2a_client import client, message, told
from tests.rigs.http import get, new_token, request
from tests.rigs.receiver import WEBHOOK_SECRET, Receiver
from tests.rigs.scripted_model import Call, Say, scripted
from tests.rigs.serving import serving
from understudy.app.server import Running
from understudy.auth.seal import Seal
from understudy.extensions.a2a import pushes, storage
from understudy.extensions.a2a.pushes import PushReceivers, PushSender
from understudy.extensions.notices.settings import WebhookSettings
from understudy.extensions.notices.webhooks import WebhookRules

pytestmark = pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")


class TaskReceiver(Receiver):
    """Takes notifications, which have no signature but the client's own token."""

    def read(self, head: dict[str, str], body: bytes) -> Any:
        assert (head["x-a2a-notification-token"], head["authorization"]) == ("t0ken", "Bearer key")
        return super().read(head, body)

    @property
    def states(self) -> list[str]:
        states_seen = []
        for _, body in self.got:
            update = ParseDict(body, a2a.StreamResponse())
            status = update.task.status if update.HasField("task") else update.status_update.status
            states_seen.append(a2a.TaskState.Name(status.state).removeprefix("TASK_STATE_"))
        return states_seen


@pytest.fixture
async def receiver(nursery: trio.Nursery) -> TaskReceiver:
    task_receiver = TaskReceiver()
    await task_receiver.start(nursery)
    return task_receiver


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the sender look and retry without delay."""
    monkeypatch.setattr("understudy.extensions.a2a.pushes.EVERY_S", 0.02)
    monkeypatch.setattr("understudy.extensions.a2a.pushes.FIRST_S", 0.02)
    monkeypatch.setattr("understudy.extensions.notices.receivers.FACTOR", 1.0)


def mailing(folder: Path, **settings: Any) -> AbstractAsyncContextManager[Running]:
    return serving(folder, scripted(Call([("send_mail", {"to": "bob"})]), Say("sent")), grace_s=1.0, **settings)


def config(url: str, task_id: str = "", name: str = "") -> a2a.TaskPushNotificationConfig:
    signed = a2a.AuthenticationInfo(scheme="Bearer", credentials="key")
    return a2a.TaskPushNotificationConfig(id=name, task_id=task_id, url=url, token="t0ken", authentication=signed)


def allowed(receiver: Receiver) -> dict[str, Any]:
    return {"own": {WebhookSettings: WebhookSettings([receiver.url], SecretStr(WEBHOOK_SECRET), True)}}


async def test_a_client_is_told_of_each_state_over_failures_and_a_restart(
    tmp_path: Path, receiver: TaskReceiver
) -> None:
    """The receiver fails while the first server runs; the second server sends what is left, in order."""
    receiver.statuses = [500] * 10_000
    with trio.fail_after(60):
        async with mailing(tmp_path, **allowed(receiver)) as running:
            token = await new_token(running)
            async with client(running, token) as agent:
                request_message = message("go")
                request_message.configuration.task_push_notification_config.CopyFrom(config(receiver.url))
                states, _, task_id = await told(agent.send_message(request_message))
                assert states[-1] == "INPUT_REQUIRED"
                await receiver.until(2)
        begun = ["WORKING", "INPUT_REQUIRED"]
        begun = begun[begun.index(receiver.states[0]) :]  # a task may ask before its receiver is stored
        assert set(receiver.states) == {begun[0]}
        receiver.statuses.clear()
        receiver.got.clear()
        async with mailing(tmp_path, **allowed(receiver)) as running, client(running, token) as agent:
            await receiver.until(len(begun))
            states, _, _ = await told(agent.send_message(message("allow", task_id=task_id)))
            assert states[-1] == "COMPLETED"
            await receiver.until(len(begun) + 2)
            assert receiver.states == [*begun, "WORKING", "COMPLETED"]
            assert receiver.got[-1][1]["task"]["artifacts"][0]["parts"][0]["text"].strip() == "sent"
            listed = a2a.ListTaskPushNotificationConfigsRequest(task_id=task_id)
            while (await agent.list_task_push_notification_configs(listed)).configs:  # noqa: ASYNC110 - as a client asks
                await trio.sleep(0.01)


async def test_the_stock_client_manages_configs(tmp_path: Path, receiver: TaskReceiver) -> None:
    with trio.fail_after(60):
        async with mailing(tmp_path, **allowed(receiver)) as running:
            token = await new_token(running)
            async with client(running, token) as agent, client(running, await new_token(running)) as other:
                _, _, task_id = await told(agent.send_message(message("go")))
                saved = await agent.create_task_push_notification_config(config(receiver.url, task_id, "c1"))
                assert (saved.id, saved.url, saved.task_id) == ("c1", receiver.url, task_id)
                assert saved.token == ""
                assert saved.authentication.credentials == ""
                assert saved.authentication.scheme == "Bearer"
                named = a2a.GetTaskPushNotificationConfigRequest(task_id=task_id, id="c1")
                assert await agent.get_task_push_notification_config(named) == saved
                listed = a2a.ListTaskPushNotificationConfigsRequest(task_id=task_id)
                assert list((await agent.list_task_push_notification_configs(listed)).configs) == [saved]
                with pytest.raises(TaskNotFoundError):
                    await other.list_task_push_notification_configs(listed)
                export = await get(running, "/api/me/export", token)
                assert [push["url"] for thread in export["threads"] for push in thread["pushes"]] == [receiver.url]
                assert "t0ken" not in str(export)
                for number in range(2, 11):
                    await agent.create_task_push_notification_config(config(receiver.url, task_id, f"c{number}"))
                with pytest.raises(InternalError, match="at most"):
                    await agent.create_task_push_notification_config(config(receiver.url, task_id, "c11"))
                await agent.delete_task_push_notification_config(
                    a2a.DeleteTaskPushNotificationConfigRequest(task_id=task_id, id="c1")
                )
                with pytest.raises(TaskNotFoundError):
                    await agent.get_task_push_notification_config(named)
                assert receiver.states[0] == "INPUT_REQUIRED", "who asks late is told how it is"


async def test_only_public_addresses_are_told(tmp_path: Path) -> None:
    """A private address is refused before the message is accepted, so no task begins."""
    bad = (
        "http://example.org/", "https://127.0.0.1/", "https://localhost/", "https://[::1]/", "https://10.0.0.8/", "x:",
    )  # fmt: skip
    with trio.fail_after(60):
        async with mailing(tmp_path) as running, client(running, await new_token(running)) as agent:
            for url in bad:
                request_message = message("go")
                request_message.configuration.task_push_notification_config.CopyFrom(config(url))
                with pytest.raises(InvalidParamsError, match="The url"):
                    await told(agent.send_message(request_message))
            assert not (await agent.list_tasks(a2a.ListTasksRequest())).tasks


class Asked:
    """A store that has receivers or not, and notes its queries."""

    def __init__(self) -> None:
        self.any, self.queries = False, list[str]()

    async def read(self, query: Any, *_: Any) -> Any:
        self.queries.append(query.__name__)
        return [] if query is storage.due else self.any


async def test_while_there_are_no_receivers_the_sender_sleeps_longer(autojump_clock: trio.testing.MockClock) -> None:
    store: Any = Asked()
    rules = WebhookRules((), b"", private=False)
    sender = PushSender(PushReceivers(store, rules, Seal(b"x"), time.time, "", lambda: None), lambda _: None)
    assert await sender.poll() == pushes.ASK_S
    store.any = True
    assert [await sender.poll() for _ in range(3)] == [pushes.EVERY_S] * 3
    assert store.queries.count("are_any") == 2
    await trio.sleep(pushes.ASK_S)
    store.any = False
    assert await sender.poll() == pushes.ASK_S


async def test_while_the_extension_is_off_receivers_stay_and_are_exported(
    tmp_path: Path, receiver: TaskReceiver
) -> None:
    """Once the extension is on again, they are told of what follows."""
    with trio.fail_after(60):
        async with mailing(tmp_path, **allowed(receiver)) as running:
            token = await new_token(running)
            async with client(running, token) as agent:
                request_message = message("go")
                request_message.configuration.task_push_notification_config.CopyFrom(config(receiver.url))
                _, _, task_id = await told(agent.send_message(request_message))
                await receiver.until(1)
        async with mailing(tmp_path, extensions=["-a2a"], **allowed(receiver)) as running:
            status, _, _ = await request(running.address, "GET", "/.well-known/agent-card.json", token=token)
            assert status == 404
            export = await get(running, "/api/me/export", token)
            assert [push["url"] for thread in export["threads"] for push in thread["pushes"]] == [receiver.url]
        async with mailing(tmp_path, **allowed(receiver)) as running, client(running, token) as agent:
            await told(agent.send_message(message("allow", task_id=task_id)))
            while receiver.states[-1] != "COMPLETED":
                await receiver.until(len(receiver.got) + 1)
