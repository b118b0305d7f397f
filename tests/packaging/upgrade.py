"""Upgrade servers from the wheels of an earlier commit to those of the checkout on the same data, and go back.

python -m tests.packaging.upgrade FOLDER COMMIT

FOLDER is new or empty, and outside the checkout. Both releases are installed from their wheels, into environments of
their own, with what the checkout declares. On SQLite and on PostgreSQL the earlier release stores one of each kind of
thing (`tests.packaging.kept`) and is killed in an answer; the later one must finish the answer, have all data, and end
what waited. Then the earlier one comes back, unless it knows no schema from which on the database can be used: then it
must refuse to start and change nothing. In the end the later one must have what both have stored, and erases it. On
PostgreSQL both run at once.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
from attrs import frozen

from tests.packaging import kept, kept_agents
from tests.packaging.stories import make
from tests.packaging.wheels import ROOT, SOURCES, build_wheel, build_wheels
from tests.servers.needed import free_port
from tests.servers.postgresql import Postgres
from transport.auth.tokens import Tokens

EXTRAS = ("postgres",)
SECRET = "both-releases-have-one-secret-of-32-bytes"
SETTINGS = {
    "UNDERSTUDY_SECRET": SECRET,
    "UNDERSTUDY_MODELS_WORDS_PER_S": "50",
    "UNDERSTUDY_SHARES_LINKS": "true",
    "UNDERSTUDY_WEBHOOK_URLS": "http://127.0.0.1:9/hook",
    "UNDERSTUDY_WEBHOOK_SECRET": SECRET,
    "UNDERSTUDY_WEBHOOK_PRIVATE": "true",
}
WAIT_S = 120.0
REFUSAL = "this understudy knows schemas up to "
"""What each release so far says of a schema that it cannot use. The words around it were not always the same."""
CSV = b"region,sales\n" + b"".join(b"north,%d\n" % number for number in range(500))
LONG = f"What is {' + '.join(map(str, range(1, 150)))}?"


@frozen
class Server:
    """A server that runs, and its user."""

    address: str
    process: "subprocess.Popen[str]"

    def ask(
        self, method: str, path: str, *, user: str = "ann", roles: Sequence[str] = (), **more: Any
    ) -> httpx.Response:
        """Send a request of a user, to a path below `/api/` or, with a slash, below the root. It succeeds."""
        token = Tokens(SECRET, time.time).issue(user, "s", roles=roles, ttl_s=3600)
        at = f"{self.address}{path if path.startswith('/') else f'/api/{path}'}"
        answer = httpx.request(method, at, headers={"Authorization": f"Bearer {token}"}, timeout=60, **more)
        assert answer.is_success, (method, path, answer.status_code, answer.text)
        return answer

    def say(self, text: str, number: int, thread: str = "t", **payload: Any) -> None:
        payload |= {"content": text, "thread_id": thread, "message_id": f"{thread}{number}", "agent_type": "guide"}
        self.ask("POST", "commands", json={"type": "user_message", "payload": payload})

    def events(self, thread: str = "t") -> list[dict[str, Any]]:
        log: list[dict[str, Any]] = self.ask("GET", f"threads/{thread}/events").json()["events"]
        assert [event["seq"] for event in log] == list(range(1, len(log) + 1))
        return log

    def answered(self, count: int, thread: str = "t") -> list[dict[str, Any]]:
        """Return the log of a thread once it has as many answers. None of them is an error."""
        deadline = time.monotonic() + WAIT_S
        while True:
            log = self.events(thread)
            ends = [event["type"] for event in log if event["type"] in kept.ENDS]
            if len(ends) >= count:
                assert ends == ["final_response"] * count, ends
                return log
            assert time.monotonic() < deadline, f"{len(ends)} answers of {count}"
            time.sleep(0.1)

    def kept(self) -> dict[str, Any]:
        """Return what the user has beside conversations, and the texts of these."""
        files = [entry["id"] for entry in self.ask("GET", "me/export").json()["files"]]
        return {
            "memory": self.ask("GET", "memory").json()["memory"],
            "schedules": [entry["id"] for entry in self.ask("GET", "schedules").json()["schedules"]],
            "files": {name: self.ask("GET", f"files/{name}").content for name in files},
            "texts": [entry["content"] for entry in self.ask("GET", "threads/t/messages").json()["messages"]],
            "shares": [entry["share_id"] for entry in self.ask("GET", "threads/t/shares").json()["shares"]],
        }

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0


@frozen
class Release:
    """A release: its command `understudy`, and the folder in which its programs run."""

    command: tuple[str, ...]
    folder: Path

    def run(self, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run the command `understudy`, which ends by itself."""
        command = [*self.command, *words]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=WAIT_S, check=False, **self._how(environment)
        )

    @contextmanager
    def server(self, folder: Path, **environment: str) -> Iterator[Server]:
        """Yield a server with this data folder. It is killed at the end of the block if it still runs."""
        place = shutil.copy(kept_agents.__file__, folder.parent)
        environment |= {"PYTHONPATH": str(Path(place).parent), kept_agents.HELD: str(folder.parent / "held")}
        agents = f"{Path(place).stem}:AGENTS"
        words = [*self.command, "serve", agents, "--port", str(free_port()), "--data-dir", str(folder)]
        with (folder.parent / "log").open("a") as log:
            process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, text=True, **self._how(environment))
        assert process.stdout is not None
        with process, process.stdout:
            try:
                line = process.stdout.readline()
                assert line.startswith("understudy is ready on "), f"not ready, see {folder.parent / 'log'}"
                yield Server(line.split()[-1], process)
            finally:
                process.kill()

    def _how(self, environment: dict[str, str]) -> dict[str, Any]:
        """Return where and with which variables its programs run: nothing of the tests' own path is in reach."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "UNDERSTUDY"))}
        return {"cwd": self.folder, "env": inherited | SETTINGS | environment}


def install(folder: Path, name: str, commit: str | None) -> Release:
    """Build the wheels of a commit, None for the checkout, and install them into an environment of this name."""
    wheels = folder / f"{name}-wheels"
    if commit is None:
        build_wheels(wheels)
    else:
        source = folder / f"{name}-source"
        packed = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True).stdout
        with tarfile.open(fileobj=BytesIO(packed)) as archive:
            archive.extractall(source, filter="data")
        sources = [source / path.relative_to(ROOT) for path in SOURCES.values()]
        build_wheel(wheels, *(path for path in sources if path.exists()), bundle="skip")  # earlier ones had no analyst
        shutil.rmtree(source)
    home = make(folder, name, wheels, EXTRAS).home
    return Release((str(home / "bin" / "python"), "-m", "understudy"), home)


def upgraded(earlier: Release, later: Release, folder: Path, **environment: str) -> None:
    """Upgrade, with a kill in an answer; go back, or be refused; and upgrade again."""
    data = folder / "data"
    data.mkdir(parents=True)
    with earlier.server(data, **environment) as server:
        fill(server)
        left = kept.leave(server, data, environment)
        had, log = server.kept(), server.answered(2)
        server.say(LONG, 1, "cut")
        while not server.events("cut"):
            time.sleep(0.05)
        server.process.kill()
    with later.server(data, **environment) as server:
        server.answered(1, "cut")
        same(server.kept(), had)
        assert server.events()[: len(log)] == log
        kept.check(server, left, data, environment)
        server.say("What is 6 * 7?", 3)
        had, log = server.kept(), server.answered(3)
        server.terminate()
    way_back = later.run("migrate", "--down", "--data-dir", str(data), **environment)
    says = (way_back.stdout + way_back.stderr).strip()
    assert (way_back.returncode, "the database was left as it is" in says) == (1, True), (way_back.returncode, says)
    print(f"  migrate --down: {says}")
    count = 3 + back(earlier, data, had, log, environment)
    with later.server(data, **environment) as server:
        same(server.kept(), had)
        assert server.events()[: len(log)] == log
        server.answered(count)
        server.say("What is 8 * 8?", 5)
        server.answered(count + 1)
        server.answered(1, "cut")
        kept.erase(server, data, environment)
        server.terminate()


def back(earlier: Release, data: Path, had: dict[str, Any], log: list[dict[str, Any]], env: dict[str, str]) -> int:
    """Start the earlier release on what the later one left. Return the number of messages that it answered."""
    tried = earlier.run("migrate", "--data-dir", str(data), **env)
    says = (tried.stdout + tried.stderr).strip().splitlines()[-1]
    print(f"  the earlier release says: {says}")
    if REFUSAL in says:
        assert tried.returncode == 1
        return 0
    assert tried.returncode == 0, says
    with earlier.server(data, **env) as server:
        same(server.kept(), had)
        assert server.events()[: len(log)] == log
        server.say("What is 7 * 7?", 4)
        assert len(server.answered(4)) > len(log)
        server.answered(1, "cut")
        server.terminate()
    return 1


def rolling(earlier: Release, later: Release, folder: Path, **environment: str) -> None:
    """Both releases answer in one thread, each other's answers are in both, and the earlier node leaves."""
    for name in ("old", "new"):
        (folder / name / "data").mkdir(parents=True)
    with earlier.server(folder / "old" / "data", **environment) as old:
        fill(old)
        had = old.kept()
        migrated = later.run("migrate", "--data-dir", str(folder / "cli"), **environment)
        print(f"  beside a running node: {(migrated.stdout + migrated.stderr).strip().splitlines()[-1]}")
        if migrated.returncode == 1:
            assert "used by 1 running servers" in migrated.stderr, migrated.stderr
            return
        with later.server(folder / "new" / "data", **environment) as new:
            same(new.kept(), had)
            for number in range(3, 9):
                (old, new)[number % 2].say(f"What is {number} * {number}?", number)
                log = (new, old)[number % 2].answered(number)
            assert old.events() == log
            old.terminate()
            new.say("What is 9 * 9?", 9)
            assert new.answered(9)[: len(log)] == log
            new.terminate()


def fill(server: Server) -> None:
    """Store conversations, a file, memory, a schedule and a link."""
    file = server.ask("POST", "files", files={"file": ("sales.csv", CSV, "text/csv")}).json()["id"]
    server.say("profile this table", 1, references=[file])
    server.answered(1)
    server.say("What is 5 * 5?", 2)
    server.answered(2)
    server.ask("PUT", "memory/household/prefer_euros", json={"value": "I prefer euros"})
    server.ask("POST", "schedules", json={"message": "What is new?", "agent": "guide", "every_s": 86400})
    server.ask("POST", "threads/t/shares", json={})


def same(answers: dict[str, Any], had: dict[str, Any]) -> None:
    """What there is, is what there was, and perhaps more texts."""
    texts, earlier = answers.pop("texts"), had["texts"]
    assert texts[: len(earlier)] == earlier, (texts, earlier)
    assert json.dumps(answers, default=repr) == json.dumps({k: v for k, v in had.items() if k != "texts"}, default=repr)


def main(folder: Path, commit: str) -> None:
    """Install both releases, and upgrade on each database."""
    assert not folder.is_relative_to(ROOT), f"{folder} is inside the checkout"
    folder.mkdir(parents=True, exist_ok=True)
    assert not any(folder.iterdir()), f"{folder} is not empty"
    earlier, later = install(folder, "earlier", commit), install(folder, "later", None)
    postgres = Postgres(folder / "postgresql")
    try:
        postgres.start()
        for name, play, shared in (
            ("sqlite", upgraded, {}),
            ("postgresql", upgraded, {"UNDERSTUDY_DATABASE_URL": postgres.create()}),
            ("rolling", rolling, {"UNDERSTUDY_DATABASE_URL": postgres.create()}),
        ):
            begun = time.monotonic()
            print(name, flush=True)
            play(earlier, later, folder / "stories" / name, **shared)
            print(f"  nothing is lost, {time.monotonic() - begun:.0f} s", flush=True)
    finally:
        postgres.stop_if_running()


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2])
