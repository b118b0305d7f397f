"""A whole client in one file: it asks one question, and gets the answer even if the connection breaks meanwhile.

    python examples/client.py "What is 15% of 80?"
    python examples/client.py "Is the system healthy?" --url ws://127.0.0.1:8002/ws

It needs the package `websockets` and nothing of understudy. Events go to standard error, the answer to standard output.
"""

import argparse
import json
import random
import sys
import time
import uuid
from typing import Any

from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import connect
from websockets.typing import Subprotocol

Event = dict[str, Any]

COME_BACK = {1001, 1006, 1011, 1013, 4408, 4429}  # docs/reference/protocol.md, close codes
ATTEMPTS = 8


def ask(url: str, content: str, token: str | None = None) -> Event:
    """Return the data of the event that ended the run."""
    thread_id, message_id = uuid.uuid4().hex, uuid.uuid4().hex
    payload = {"content": content, "thread_id": thread_id, "message_id": message_id}
    last_seq = 0
    for attempt in range(ATTEMPTS):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            with connect(url, subprotocols=[Subprotocol("understudy.v1")], additional_headers=headers) as socket:
                if last_seq:
                    send(socket, "resume", {"threads": {thread_id: last_seq}})
                else:
                    send(socket, "user_message", payload)  # sent again, it has the same message_id: one message
                for frame in socket:
                    event = json.loads(frame)
                    data: Event = event["data"]
                    seq = event.get("seq")
                    if event["type"] == "welcome":
                        token = data.get("session_token", token)
                    if event["type"] == "error" and seq is None:
                        if not data["retryable"]:
                            raise SystemExit(data["message"])
                        time.sleep(data.get("retry_after", 3))
                        send(socket, "user_message", payload)
                    if seq is None or seq <= last_seq:
                        continue
                    last_seq = seq
                    print(seq, event["type"], event["message"], file=sys.stderr)
                    if event["type"] == "message_accepted" and attempt:
                        send(socket, "resume", {"threads": {thread_id: seq}})  # for the events missed meanwhile
                    if event["type"] in ("final_response", "error"):
                        return data
            if socket.close_code not in COME_BACK:
                raise SystemExit(f"closed with {socket.close_code}: {socket.close_reason}")
        except InvalidStatus as refused:
            if refused.response.status_code < 500:
                raise SystemExit(f"refused with {refused.response.status_code}") from None
        except (OSError, WebSocketException) as broken:
            print("connection lost:", broken, file=sys.stderr)
        time.sleep(random.random() * min(30, 0.2 * 2**attempt))  # noqa: S311 - jitter, no secret
    raise SystemExit("the server cannot be reached")


def send(socket, kind: str, payload: dict) -> None:
    socket.send(json.dumps({"type": kind, "payload": payload}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("content")
    parser.add_argument("--url", default="ws://127.0.0.1:8002/ws")
    parser.add_argument("--token")
    arguments = parser.parse_args()
    print(ask(arguments.url, arguments.content, arguments.token)["message"])
