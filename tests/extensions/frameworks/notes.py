"""What agents of frameworks note of their calls."""

from pathlib import Path


def noted(calls: Path) -> list[str]:
    return [line.split()[0] for line in calls.read_text().splitlines()]
