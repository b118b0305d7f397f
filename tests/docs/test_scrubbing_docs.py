"""The pages on policies and on the command in pipes: their examples are accepted and do as described."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import attrs
import pytest

from sanitization import PRESETS, Action, Category, Direction, Policy, policy_from_toml
from tests.rigs.doc_tables import DOCS, ROOT, code, table

POLICY = "how-to/set-a-scrubbing-policy.md"
PIPE = "how-to/scrub-in-a-pipe.md"
FENCE = re.compile(r'^```(\w*)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
NONE = "\N{EN DASH}"
SHOWN_ONLY = ("curl ", "your-model")
"""Lines of a page that cannot run in a test."""


def blocks(path: Path, language: str) -> list[tuple[str, str]]:
    return [(match[2] or "", match[3]) for match in FENCE.finditer(path.read_text()) if match[1] == language]


def test_each_policy_on_the_page_is_accepted() -> None:
    written = blocks(DOCS / POLICY, "toml")
    policies = [policy_from_toml(text) for title, text in written if title != "understudy.toml"]
    assert len(policies) == 3
    names = {tomllib.loads(text)["understudy"]["scrub_policy"] for title, text in written if title == "understudy.toml"}
    assert names <= {title for title, _ in written} | set(PRESETS)


def test_the_long_example_has_every_key() -> None:
    longest = max((text for _, text in blocks(DOCS / POLICY, "toml")), key=len)
    assert set(tomllib.loads(longest)) == {"preset", *(field.name for field in attrs.fields(Policy))}
    policy, preset = policy_from_toml(longest), PRESETS["strict"]
    assert all(getattr(policy, field.name) != getattr(preset, field.name) for field in attrs.fields(Policy))


def test_every_key_is_listed() -> None:
    listed = [code(row["key"])[0] for row in table(POLICY, "The keys of the file")]
    assert sorted(listed) == sorted(["preset", *(field.name for field in attrs.fields(Policy))])


def test_every_action_is_listed() -> None:
    assert [code(row["action"])[0] for row in table(POLICY, "The actions")] == [*Action, "pass"]


def test_the_presets_are_as_the_page_says() -> None:
    rows = {code(row["category"])[0]: row for row in table(POLICY, "Take a preset")}
    assert list(rows) == list(Category)
    for name in ("standard", "strict"):
        for category, row in rows.items():
            actions = [PRESETS[name].rules(direction).get(Category(category), NONE) for direction in Direction]
            assert row[f"`{name}`"] == ", ".join(actions), (name, category)
    assert not any(PRESETS["off"].rules(direction) for direction in Direction)


def console(path: Path) -> list[tuple[str, str]]:
    exchanges: list[tuple[str, str]] = []
    for _, text in blocks(path, "console"):
        for line in text.splitlines(keepends=True):
            if line.startswith("$ "):
                exchanges.append((line[2:].strip(), ""))
            else:
                exchanges[-1] = (exchanges[-1][0], exchanges[-1][1] + line)
    return [(command, printed) for command, printed in exchanges if not any(word in command for word in SHOWN_ONLY)]


def test_the_commands_print_what_the_page_says(tmp_path: Path) -> None:
    commands = console(DOCS / PIPE)
    assert len(commands) == 9
    script = "".join(f"{command}\nstatus=$?; echo '{'=' * 20}'; (exit $status)\n" for command, _ in commands)
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        ["sh"], input=script.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=tmp_path,
        env=environment, timeout=100,
    )  # fmt: skip
    printed = done.stdout.decode().split("=" * 20 + "\n")
    assert printed.pop() == ""
    assert list(zip([command for command, _ in commands], printed, strict=True)) == commands


@pytest.mark.parametrize("page", [ROOT / "README.md", DOCS / POLICY])
def test_the_example_prints_what_the_page_says(page: Path) -> None:
    programs = [text for _, text in blocks(page, "python") if "from sanitization" in text]
    program, printed = programs[-1], blocks(page, "text")[-1][1]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stderr, done.stdout) == ("", printed)
