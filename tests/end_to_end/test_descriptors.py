"""A process with few file descriptors reserves some for users, uploads and storage."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.flood import flooded
from tests.rigs import process
from tests.rigs.chat_client import connected
from tests.rigs.http import upload
from tests.rigs.process import started
from tests.rigs.tokens import SECRET, token_of

FITTED = """
import json, logging, os, resource, sys
from understudy.app.server import fit_connection_limit
logging.basicConfig(format="%(message)s %(hint)s", stream=sys.stdout)
for soft, hard, wanted in json.loads(sys.argv[1]):
    if os.fork():
        os.wait()
        continue
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    held = fit_connection_limit(wanted)
    print(held, resource.getrlimit(resource.RLIMIT_NOFILE)[0], "end of case")
    break
"""
LIMITS = [
    (1024, 1024, 10_000, 824, 1024), (1024, 4096, 10_000, 3896, 4096), (1024, 20_000, 10_000, 10_000, 10_200),
    (1024, 4096, 500, 500, 1024), (128, 128, 10_000, 64, 128),
]  # fmt: skip


@pytest.mark.proof("operations")
def test_the_soft_limit_is_raised_and_what_does_not_fit_is_said() -> None:
    """Each limit is that of a process of its own, forked by one that has loaded the server."""
    cases = json.dumps([limit[:3] for limit in LIMITS])
    done = subprocess.run([sys.executable, "-c", FITTED, cases], capture_output=True, text=True, check=True)
    outputs = done.stdout.split("end of case\n")
    assert outputs.pop() == ""
    for (_, _, wanted, held, raised), text in zip(LIMITS, outputs, strict=True):
        assert [int(part) for part in text.split()[-2:]] == [held, raised]
        assert ("server.too_few_descriptors" in text) == (held < wanted)
        if held < wanted:
            assert f"to {wanted + 200}" in text


@pytest.mark.promise("owasp.connections")
async def test_at_1024_files_a_flood_leaves_enough_for_users_and_their_uploads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    ours = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, ours[1]), ours[1]))
    monkeypatch.setattr(process, "SERVER_PYTHON", str(_limited(tmp_path)))
    try:
        async with (
            started(tmp_path / "data", log=log, loads=True, UNDERSTUDY_SECRET=SECRET) as server,
            flooded(server.address, 1100, b""),
        ):
            assert (await upload(server, token_of("ada"), content=b"a,b\n" * 200_000))[0] == 201
            async with connected(server.address, token_of("ada")) as ada:
                assert (await ada.ask("What is 2 + 2?"))["type"] == "final_response"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, ours)
    # the stack of a step that took long, in another event, may quote the line that logs this one
    events = [json.loads(line)["event"] for line in log.read_text().splitlines()]
    assert events.count("server.too_few_descriptors") == 1
    assert "listener.no_descriptors" not in events


def _limited(folder: Path) -> Path:
    """Return a Python executable whose processes may open at most 1,024 files."""
    script = folder / "python"
    script.write_text(f'#!/bin/sh\nulimit -n 1024\nexec {process.SERVER_PYTHON} "$@"\n')
    script.chmod(0o755)
    return script
