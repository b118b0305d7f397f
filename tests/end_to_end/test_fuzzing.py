"""Requests generated from the OpenAPI document, valid and invalid, against a real server."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.rigs.http import request
from tests.rigs.tokens import SECRET, token
from understudy.storage.limits import Limits

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.mark.proof("fuzz")
@pytest.mark.promise("wire.endpoint-machines", "owasp.crash")
async def test_no_request_breaks_the_server(serve: Any, tmp_path: Path) -> None:
    """Each operation is called a few times; every status and body must be one that the document names."""
    running = await serve(secret=SECRET, limits=Limits(messages_per_minute=100_000, requests_per_minute=100_000))
    bearer = f"Authorization: Bearer {token('op', 'operator')}"
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{running.address}/openapi.json"),
        *("--header", bearer, "--checks", CHECKS, "--phases", "fuzzing", "--mode", "all"),
        *("--max-examples", "4", "--request-timeout", "10", "--seed", "1", "--no-color"),
        *("--generation-database", "none", "--exclude-operation-id", "sessions.end"),  # which ends the session
        *("--exclude-operation-id", "sessions.sign_out"),  # which does so, too
        *("--exclude-operation-id", "observer.changes"),  # which goes on for ever
    ]
    with trio.fail_after(80):
        done = await trio.run_process(command, capture_stdout=True, stderr=subprocess.STDOUT, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout.decode()
    assert b"matched no API operations" not in done.stdout
    another = token("another", "operator")  # requests may have erased the first
    status, _, health = await request(running.address, "GET", "/healthz", token=another)
    assert (status, health["restarts"]) == (200, 0)
