"""The two tools of agents of frameworks, which note their calls in a file."""

import asyncio
import os
from pathlib import Path

CALLS = "UNDERSTUDY_TEST_CALLS"
"""Environment variable with the path of the file of calls."""


def note(name: str) -> None:
    """Append a name and the id of this process to the file of calls."""
    with Path(os.environ[CALLS]).open("a") as file:
        file.write(f"{name} {os.getpid()}\n")


def noted(calls: Path) -> list[str]:
    """Return the names in the file of calls."""
    return [line.split()[0] for line in calls.read_text().splitlines()]


def only_here(name: str) -> bool:
    """Return whether every noted call of this name was made by this server, so that none was killed since."""
    lines = [line.split() for line in Path(os.environ[CALLS]).read_text().splitlines()]
    return {pid for noted_name, pid in lines if noted_name == name} == {str(os.getpid())}


def first(text: str) -> str:
    """Do the first thing."""
    note("first")
    return f"one of {text}"


async def second(text: str) -> str:
    """Do the second thing; hang, if the text says so, until its server is killed."""
    note("second")
    if "hang" in text and only_here("second"):
        await asyncio.sleep(600)
    if "crash" in text:
        raise ValueError("a secret reason")
    return f"two of {text}"
