"""An MCP server of the handshake era, written by hand, that does what servers in the field do.

`python mcp_field.py LOG WHAT…` speaks over stdio, writes each method that it is asked to LOG, and does what WHAT says.
With the first argument `http` it listens at a port that it prints; its session ends when a client asks for `/restart`.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

READ = {"readOnlyHint": True}
TEXT = {"type": "string"}
ECHO = {"name": "echo", "inputSchema": {"type": "object", "properties": {"text": TEXT}}, "annotations": READ}
ODD: list[Any] = [
    {"name": "price", "inputSchema": {"type": "object", "properties": {"coin": TEXT, "required": ["coin"]}}},
    {"name": "no_schema", "inputSchema": None},
    {"name": "php", "inputSchema": {"type": "object", "properties": [], "required": []}},
    {"name": "untyped", "inputSchema": {}, "annotations": {"readOnlyHint": "yes"}, "icons": "none", "title": None},
    {"name": "text", "inputSchema": "none"},
    {"name": "choice", "inputSchema": {"type": "object", "properties": {"a": TEXT}, "anyOf": [{"required": ["a"]}]}},
    None,
]
RESOURCES = [{"uri": "a:b", "name": "good"}, {"uri": "c:d", "name": None}]


def result_of(method: str, params: dict[str, Any], what: list[str]) -> dict[str, Any]:
    """Return the result of a request, or its error."""
    if method == "initialize":
        kinds: dict[str, Any] = {"tools": {}, "resources": {}}
        info = {"name": "s", "version": "1"}
        return {"result": {"protocolVersion": "2025-06-18", "capabilities": kinds, "serverInfo": info}}
    if method == "tools/list":
        if "no-list" in what:
            return {"error": {"code": -32603, "message": "The catalogue is being built"}}
        return {"result": {"tools": [ECHO, *(ODD if "odd" in what else ())], "nextCursor": ""}}
    if method == "resources/list":
        return {"result": {"resources": RESOURCES}}
    if method == "resources/templates/list":
        return {"result": {"resourceTemplates": {}}}
    if method == "tools/call":
        text = params.get("arguments", {}).get("text", "")
        if text.startswith('{"error"'):
            return dict(json.loads(text))
        if text.startswith("{"):
            return {"result": json.loads(text)}
        if text.startswith("large"):
            return {"result": {"content": [{"type": "text", "text": "x" * 3_000_000}]}}
        if text == "limit":
            return {"error": {"code": -32000, "message": "Rate limit of the upstream reached"}}
        if text == "closed":
            return {"error": {"code": -32000, "message": "Connection closed"}}
        return {"result": {"content": [{"type": "text", "text": f"you said {text}"}]}}
    return {"result": {}} if method == "ping" else {"error": {"code": -32601, "message": "Method not found"}}


def speak(log: Path, what: list[str]) -> None:
    """Answer requests of the standard input."""
    first = True
    for line in sys.stdin:
        request = json.loads(line)
        method, number, params = request.get("method"), request.get("id"), request.get("params") or {}
        with log.open("a") as file:
            file.write(f"{os.getpid()} {method}\n")
        if "handshake" in what and first and method != "initialize":
            sys.exit("Error: ExpectedInitializeRequest")
        first = False
        if number is None:
            continue
        answer = {"jsonrpc": "2.0", "id": number, **result_of(method, params, what)}
        text = params.get("arguments", {}).get("text") if method == "tools/call" else None
        if text == "deaf":  # it could not read the request
            answer = {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "Parse error"}}
        if text == "large, id last":  # as servers made with the TypeScript SDK write it
            answer = {"result": answer["result"], "jsonrpc": "2.0", "id": number}
        written = json.dumps(answer, sort_keys=text == "large, sorted")
        if text == "broken":  # it writes what nobody can read
            written = written[: len(written) // 2]
        print(written, flush=True)


class Handler(BaseHTTPRequestHandler):
    """Answers requests in the one session that it knows."""

    protocol_version = "HTTP/1.1"
    sessions: list[str] = []  # noqa: RUF012 - the server's, and there is one
    restarts = 0
    asked: list[str] = []  # noqa: RUF012 - as above
    what: list[str] = []  # noqa: RUF012 - as above

    def log_message(self, *_: Any) -> None:
        """Log nothing."""

    def reply(self, status: int, body: Any = None, headers: tuple[tuple[str, str], ...] = ()) -> None:
        """Send a response; a text is plain, all else JSON."""
        data = b"" if body is None else (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        """Tell what was asked, end the session, or refuse a stream."""
        if self.path == "/restart":
            self.sessions.clear()
        if self.path in ("/restart", "/asked"):
            return self.reply(200, self.asked)
        return self.reply(405)

    do_DELETE = do_GET

    def do_POST(self) -> None:
        """Answer a request."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        method, number, params = asked.get("method"), asked.get("id"), asked.get("params") or {}
        session = self.headers.get("Mcp-Session-Id")
        self.asked.append(method)
        if method == "initialize":
            session = f"s{len(self.asked)}"
            self.sessions.append(session)
            answer = {"jsonrpc": "2.0", "id": number, **result_of(method, params, self.what)}
            return self.reply(200, answer, (("Mcp-Session-Id", session),))
        if session not in self.sessions:
            refusal = {"code": -32000, "message": "Bad Request: No valid session"}
            bad_request = {"jsonrpc": "2.0", "id": None, "error": refusal}
            bodies = {"plain-404": (404, "not here"), "example-400": (400, bad_request), "gone-410": (410, None)}
            not_found = {"jsonrpc": "2.0", "id": number, "error": {"code": -32001, "message": "Session not found"}}
            return self.reply(*next((bodies[name] for name in self.what if name in bodies), (404, not_found)))
        if number is None:
            return self.reply(202)
        text = params.get("arguments", {}).get("text", "") if method == "tools/call" else ""
        match text.split():
            case ["status", status, *seconds]:
                refusals = sum(request == "refused" for request in self.asked)
                self.asked.append("refused")
                if not seconds or refusals == 0:
                    body = {"error": {"message": "No room."}} if status == "413" else None
                    return self.reply(int(status), body, tuple(("Retry-After", second) for second in seconds))
        self.reply(200, {"jsonrpc": "2.0", "id": number, **result_of(method, params, self.what)})


if __name__ == "__main__":
    if sys.argv[1] == "http":
        Handler.what = sys.argv[2:]
        listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        listener.daemon_threads = True
        print(listener.server_address[1], flush=True)
        listener.serve_forever()
    speak(Path(sys.argv[1]), sys.argv[2:])
