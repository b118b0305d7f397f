"""Builds the image and runs it, as a release does: `python -m tests.deploy.image [options of buildah build]`.

Takes some minutes, and needs root, buildah, mmdebstrap and a network, so the suite does not run it. Where containers
cannot be isolated, `BUILDAH_ISOLATION=chroot` and `STORAGE_DRIVER=vfs` help.
"""

import subprocess
import sys
import time
from pathlib import Path

from tests.servers.needed import free_port

ROOT = Path(__file__).parents[2]
NAME, AGENTS = "understudy-check", "understudy-check-agents"
BUILD_S = 1800
RUN_S = 180
SERVE = """
understudy serve --host 127.0.0.1 --port {port} $AGENTS & server=$!
python - <<END
import json, subprocess, time, urllib.request
for attempt in range(120):
    try:
        assert urllib.request.urlopen("http://127.0.0.1:{port}/readyz", timeout=5).status == 200
        break
    except OSError:
        time.sleep(0.5)
else:
    raise SystemExit("it is not ready")
token = subprocess.check_output(["understudy", "token", "--user", "ada"], text=True).strip()
asked = urllib.request.Request("http://127.0.0.1:{port}/api/agents", headers={{"Authorization": "Bearer " + token}})
print("agents:", *[agent["name"] for agent in json.load(urllib.request.urlopen(asked))["agents"]])
page = urllib.request.urlopen("http://127.0.0.1:{port}/").read().decode()
print("page:", "bundled" if "page/bundle/" in page else "modules")
END
found=$?
kill -TERM $server && wait $server && [ $found = 0 ]
"""


def run(*command: str, within_s: float = RUN_S) -> str:
    """Run a command, whose errors are shown. Return what it printed. Raises CalledProcessError, TimeoutExpired."""
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=within_s, cwd=ROOT)
    return done.stdout.strip()


def inside(image: str, *command: str) -> str:
    """Run a command in a new container of the image."""
    container = run("buildah", "from", image)
    try:
        return run("buildah", "run", "--env", f"UNDERSTUDY_SECRET={'0123456789abcdef' * 2}", container, "--", *command)
    finally:
        run("buildah", "rm", container)


def serve(image: str, *agents: str) -> str:
    """Serve, ask, and stop in order. Return what was found."""
    script = SERVE.format(port=free_port()).replace("$AGENTS", " ".join(agents))
    return inside(image, "sh", "-c", script)


def main(options: list[str]) -> None:
    """Build both images and run them. Raises AssertionError or CalledProcessError at the first thing that is wrong."""
    begun = time.monotonic()
    run("deploy/image.sh", NAME, *options, within_s=BUILD_S)
    print(f"{NAME}: built in {time.monotonic() - begun:.0f} s")
    begun = time.monotonic()
    build = ("--build-arg", f"IMAGE=localhost/{NAME}", *options, "--tag", AGENTS, "deploy/example_agents")
    run("buildah", "build", "--format", "docker", *build, within_s=BUILD_S)
    print(f"{AGENTS}: built in {time.monotonic() - begun:.0f} s")
    print(run("buildah", "images", "--format", "{{.Name}} {{.Size}}"))
    assert inside(NAME, "id", "-un") == "understudy"
    print(inside(NAME, "understudy", "doctor", "--offline"))
    fault = serve(NAME)
    print(fault)
    assert "page: bundled" in fault
    fault = serve(AGENTS, "--no-builtin-agents", "example_agents:AGENTS")
    print(fault)
    assert "agents: parcels\n" in fault


if __name__ == "__main__":
    main(sys.argv[1:])
