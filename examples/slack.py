"""Slack talks to an agent: each message starts a run, whose answer is posted to the thread in which it was asked.

    export SLACK_SIGNING_SECRET=8f74… SLACK_BOT_TOKEN=xoxb-…      # of the app, at api.slack.com/apps
    export UNDERSTUDY_TOKEN="$(understudy token --user slack)" UNDERSTUDY_WEBHOOK_SECRET=…
    python examples/slack.py --server http://127.0.0.1:8002 --here http://127.0.0.1:8010

Slack sends its events to `/slack`, the server its webhooks to `/answers`: see docs/extensions/notices.md. Nothing
is stored here: a thread's id names Slack's, and an answer that Slack does not take is sent again by the server.
"""

import argparse
import base64
import hmac
import html
import json
import os
import re
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

SECRETS = ("SLACK_SIGNING_SECRET", "SLACK_BOT_TOKEN", "UNDERSTUDY_TOKEN", "UNDERSTUDY_WEBHOOK_SECRET")
MENTION = re.compile(r"^\s*<@\w+(\|[^>]*)?>[\s,:]*")


class Bridge(BaseHTTPRequestHandler):
    """Takes what Slack and the server send. `given` has the arguments and the secrets of the environment."""

    given: argparse.Namespace

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        try:
            status, answer = self.heard(body) if self.path == "/slack" else self.answered(body)
        except OSError as away:  # Slack and the server both send it again then
            self.log_error("%s", away)
            status, answer = 503, {}
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def heard(self, body: bytes) -> tuple[int, dict[str, Any]]:
        """An event of Slack's. A message of a person starts a run; programs, which we are too, are not answered."""
        at = self.headers.get("X-Slack-Request-Timestamp", "")
        digest = hmac.digest(self.given.slack_signing_secret, f"v0:{at}:".encode() + body, "sha256")
        if not recent(at) or not same("v0=" + digest.hex(), self.headers.get("X-Slack-Signature", "")):
            return 401, {}
        said = json.loads(body)
        if said["type"] == "url_verification":
            return 200, {"challenge": said["challenge"]}
        event = said.get("event", {})
        text = html.unescape(MENTION.sub("", event.get("text", ""))).strip()
        if event.get("type") not in ("message", "app_mention") or "bot_id" in event or "subtype" in event or not text:
            return 200, {}
        thread_id = f"slack.{event['channel']}.{event.get('thread_ts', event['ts'])}"
        run = {
            "message": text, "agent": self.given.agent, "thread_id": thread_id,
            "message_id": f"slack.{event['channel']}.{event['ts']}",  # twice the same if a mention is a message too
            "webhook": f"{self.given.here}/answers/{self.mark(thread_id)}",
        }  # fmt: skip
        status, answer = post(f"{self.given.server}/api/runs", self.given.understudy_token, run)
        self.log_message("%s: %s", status, answer)
        return (503 if status in (429, 503) else 200), {}  # any other refusal would come again

    def answered(self, body: bytes) -> tuple[int, dict[str, Any]]:
        """A webhook of the server. Anything but 2xx has it sent again."""
        name, at = (self.headers.get(each, "") for each in ("webhook-id", "webhook-timestamp"))
        digest = hmac.digest(self.given.understudy_webhook_secret, f"{name}.{at}.".encode() + body, "sha256")
        wanted = "v1," + base64.b64encode(digest).decode()
        if not recent(at) or not same(wanted, self.headers.get("webhook-signature", "")):
            return 401, {}
        event = (data := json.loads(body)["data"])["event"]
        if not same(self.mark(data["thread_id"]), self.path.rpartition("/")[2]):
            return 410, {}
        text = html.escape((event["data"].get("message") or event["message"])[:39_000], quote=False)
        if event["type"] in ("approval_required", "question_asked"):
            text += f"\n{self.given.server}/#{quote(data['thread_id'], safe='')}"
        shown = dict(zip(("channel", "thread_ts"), data["thread_id"].split(".", 2)[1:], strict=True), text=text)
        status, answer = post(self.given.slack, self.given.slack_bot_token, shown)
        return (200 if status == 200 and answer.get("ok") else 502), {}

    def mark(self, thread_id: str) -> str:
        """Whoever else may use the server's webhooks cannot make this, and so posts nothing to Slack."""
        return hmac.digest(self.given.slack_signing_secret, thread_id.encode(), "sha256").hex()


def recent(at: str) -> bool:
    return re.fullmatch("[0-9]{1,12}", at) is not None and abs(time.time() - int(at)) < 300


def same(wanted: str, given: str) -> bool:
    return hmac.compare_digest(wanted.encode(), given.encode())


def post(url: str, token: bytes, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {token.decode()}", "Content-Type": "application/json; charset=utf-8"}
    try:
        with urlopen(Request(url, json.dumps(body).encode(), headers), timeout=2.5) as answer:  # noqa: S310 - ours
            return answer.status, json.load(answer)
    except HTTPError as refused:
        return refused.code, {"error": refused.read().decode(errors="replace")}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", default="http://127.0.0.1:8002")
    parser.add_argument("--here", default="http://127.0.0.1:8010", help="below it the server finds /answers")
    parser.add_argument("--agent", help="the one that answers; the default one unless set")
    parser.add_argument("--port", type=int, default=8010)
    parser.add_argument("--slack", default="https://slack.com/api/chat.postMessage")
    given = Bridge.given = parser.parse_args()
    for secret in SECRETS:
        setattr(given, secret.lower(), os.environ[secret].encode())
    with ThreadingHTTPServer(("127.0.0.1", given.port), Bridge) as server:
        print(f"slack is answered on port {given.port}", flush=True)
        server.serve_forever()
