"""A browser's EventSource follows a thread across a crash of the server. Run by `test_story.py`.

python tests/browser/stream_story.py FOLDER
"""

import signal
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Page
from served import Server, chromium, watched

SAY = """async ([token, content, message]) => {
  const payload = { content, thread_id: "t", message_id: message };
  const said = await fetch("/api/commands", {
    method: "POST",
    headers: { Authorization: `Bearer ${token}` },
    body: JSON.stringify({ type: "user_message", payload }),
  });
  return said.status;
}"""

LISTEN = """(token) => {
  window.seen = [];
  window.pieces = [];
  const stream = new EventSource(`/api/threads/t/stream?session_token=${token}`);
  const note = ({ type, data, lastEventId }) => data && window.seen.push([type, JSON.parse(data), lastEventId]);
  const kinds = ["welcome", "message_accepted", "agent_started", "agent_thinking", "tool_executing", "tool_completed",
    "agent_completed", "final_response", "error", "drain"];
  for (const kind of kinds) stream.addEventListener(kind, note);
  stream.addEventListener("partial_result", ({ data }) => {
    const { run_id, data: { offset, text } } = JSON.parse(data);
    window.pieces.push([run_id, offset, text]);
  });
  window.stream = stream;
}"""


def ended(page: Page, count: int) -> list[Any]:
    """Wait for the end of this many runs. Return all events."""
    page.wait_for_function(
        "count => seen.filter(([type, { seq }]) => seq && /^(final_response|error)$/.test(type)).length >= count",
        arg=count,
        timeout=40_000,
    )
    seen = page.evaluate("window.seen")
    assert isinstance(seen, list)
    return seen


def shows_so_far(page: Page, end: Any) -> None:
    """Check that the streamed text is a gapless prefix of the answer, or all of it unless it began before the
    stream.
    """
    text, shown = end["data"]["message"], 0
    for run_id, offset, piece in page.evaluate("window.pieces"):
        if run_id == end["run_id"]:
            assert offset <= shown, f"{offset - shown} characters lack after {shown}"
            assert text[offset : offset + len(piece)] == piece
            shown = offset + len(piece)
    assert shown > 20


def play(page: Page, server: Server) -> None:
    """Send a message, subscribe, kill the server during the answer, and resume."""
    problems: list[str] = []
    watched(page, problems)
    page.goto(f"{server.address}/healthz")
    token = page.evaluate("async () => (await (await fetch('/api/sessions', { method: 'POST' })).json()).session_token")
    assert page.evaluate(SAY, [token, "What is 15% of 80?", "m1"]) == 202
    page.evaluate(LISTEN, token)
    answer = ended(page, 1)[-1]
    assert (answer[0], answer[1]["data"]["message"]) == ("final_response", "15% of 80 = 12")

    long = "Summarise at length: " + " ".join(f"Thing {n} matters because of reason {n}." for n in range(60))
    assert page.evaluate(SAY, [token, long, "m2"]) == 202
    page.wait_for_function("() => pieces.filter(([, offset]) => offset > 20).length")
    server.stop()
    server.start()
    continued = ended(page, 2)[-1]
    assert continued[0] == "final_response", "it went on when the server was back"
    shows_so_far(page, continued[1])

    assert page.evaluate(SAY, [token, "What is 6 * 7?", "m3"]) == 202
    seen = ended(page, 3)
    assert "42" in seen[-1][1]["data"]["message"]
    numbers = [event["seq"] for _, event, _ in seen if "seq" in event]
    assert numbers == list(range(1, len(numbers) + 1)), numbers
    assert all(last_id == str(event["seq"]) for _, event, last_id in seen if "seq" in event)

    assert [kind for kind, _, _ in seen].count("welcome") == 2, "it came back once, when the server had died"

    server.stop(signal.SIGTERM)
    page.wait_for_function("() => seen.at(-1)[0] === 'drain'")
    assert not problems, problems


def main(folder: str) -> None:
    server = Server(Path(folder) / "data", UNDERSTUDY_WORDS_PER_S="40")
    try:
        with chromium() as browser:
            play(browser.new_page(), server)
    finally:
        if server.process.poll() is None:
            server.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
