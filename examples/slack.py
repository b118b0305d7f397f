"""Connects Slack to an agent: each message starts a run, whose answer is posted to the message's thread.

    export SLACK_SIGNING_SECRET=8f74… SLACK_BOT_TOKEN=xoxb-…      # of the app, at api.slack.com/apps
    export UNDERSTUDY_TOKEN="$(understudy token --user slack)" UNDERSTUDY_WEBHOOK_SECRET=…
    python examples/slack.py --server http://127.0.0.1:8002 --here http://127.0.0.1:8010

Slack sends its events to `/slack`, and the server its webhooks to `/answers`: see docs/extensions/notices.md. Nothing
is stored here: the id of a thread contains Slack's, and the server repeats an answer that Slack does not accept.
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
    """Handles the requests of Slack and the server. `given` has the arguments and the secrets of the environment."""

    given: argparse.Namespace

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        try:
            status, answer = self.heard(body) if self.path == "/slack" else self.answered(body)
        except OSError as error:  # after a 503 both Slack and the server send it again
            self.log_error("%s", error)
            status, answer = 503, {}
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def heard(self, body: bytes) -> tuple[int, dict[str, Any]]:
        """Handle an event of Slack. A person's message starts a run; programs, such as this one, are not answered."""
        at = self.headers.get("X-Slack-Request-Timestamp", "")
        digest = hmac.digest(self.given.slack_signing_secret, f"v0:{at}:".encode() + body, "sha256")
        if not recent(at) or not same("v0=" + digest.hex(), self.headers.get("X-Slack-Signature", "")):
            return 401, {}
        request = json.loads(body)
        if request["type"] == "url_verification":
            return 200, {"challenge": request["challenge"]}
        event = request.get("event", {})
        text = html.unescape(MENTION.sub("", event.get("text", ""))).strip()
        if event.get("type") not in ("message", "app_mention") or "bot_id" in event or "subtype" in event or not text:
            return 200, {}
        thread_id = f"slack.{event['channel']}.{event.get('thread_ts', event['ts'])}"
        run = {
            "message": text, "agent": self.given.agent, "thread_id": thread_id,
            "message_id": f"slack.{event['channel']}.{event['ts']}",  # a mention comes as two events with one id
            "webhook": f"{self.given.here}/answers/{self.mark(thread_id)}",
        }  # fmt: skip
        status, answer = post(f"{self.given.server}/api/runs", self.given.understudy_token, run)
        self.log_message("%s: %s", status, answer)
        return (503 if status in (429, 503) else 200), {}  # a repeat would not help after other refusals

    def answered(self, body: bytes) -> tuple[int, dict[str, Any]]:
        """Handle a webhook of the server, which repeats it unless the status is 2xx."""
        webhook_id, at = self.headers.get("webhook-id", ""), self.headers.get("webhook-timestamp", "")
        digest = hmac.digest(self.given.understudy_webhook_secret, f"{webhook_id}.{at}.".encode() + body, "sha256")
        signature = "v1," + base64.b64encode(digest).decode()
        if not recent(at) or not same(signature, self.headers.get("webhook-signature", "")):
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
        """Return the mark of a thread. Other users of the server's webhooks cannot make it, so they cannot post."""
        return hmac.digest(self.given.slack_signing_secret, thread_id.encode(), "sha256").hex()


def recent(at: str) -> bool:
    return re.fullmatch("[0-9]{1,12}", at) is not None and abs(time.time() - int(at)) < 300


def same(expected: str, received: str) -> bool:
    return hmac.compare_digest(expected.encode(), received.encode())


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
