"""Requests generated from the OpenAPI document, valid and invalid, against a real server."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
import trio

from tests.end_to_end.http import request
from transport.connection.limits import Limits

SECRET = "a secret of more than 32 characters, for tests"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.mark.proof("fuzz")
@pytest.mark.promise("wire.endpoint-machines", "owasp.crash")
async def test_no_request_breaks_the_server(serve: Any, tmp_path: Path) -> None:
    """Each operation is called a few times; every status and body must be one that the document names."""
    running = await serve(secret=SECRET, limits=Limits(messages_per_minute=100_000, requests_per_minute=100_000))
    claims = {"sub": "op", "sid": "s", "exp": time.time() + 600, "roles": ["operator"]}
    token = jwt.encode(claims, SECRET, "HS256")
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{running.address}/openapi.json"),
        *("--header", f"Authorization: Bearer {token}", "--checks", CHECKS, "--phases", "fuzzing", "--mode", "all"),
        *("--max-examples", "4", "--request-timeout", "10", "--seed", "1", "--no-color"),
        *("--generation-database", "none", "--exclude-operation-id", "sessions.end"),  # which ends the session
        *("--exclude-operation-id", "openid.sign_out"),  # which does so, too
        *("--exclude-operation-id", "observer.changes"),  # which goes on for ever
    ]
    with trio.fail_after(80):
        done = await trio.run_process(command, capture_stdout=True, stderr=subprocess.STDOUT, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout.decode()
    another = jwt.encode(claims | {"sub": "another"}, SECRET, "HS256")  # requests may have erased the first
    status, _, health = await request(running.address, "GET", "/healthz", token=another)
    assert (status, health["restarts"]) == (200, 0)
