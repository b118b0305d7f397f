"""The commands `/schedules` of `understudy chat`, and `understudy admin schedules`."""

import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import click

from understudy.cli.admin import TENANT, AskedServer, moment, text, who
from understudy.cli.chat_command import Ask, ChatCommand
from understudy.cli.output import one_line

USAGE: Final = (
    "/schedules add 0 9 * * MON-FRI TEXT      send the current agent a message at these times",
    "/schedules add @daily Europe/Berlin TEXT  a time zone may follow the times; without one it is UTC",
    "/schedules add every 30m TEXT             every so many seconds (s), minutes (m), hours (h) or days (d)",
    "/schedules pause 1, resume 1, delete 1    by the number in the list",
)
UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
CHANGES: Final = {"pause": {"enabled": False}, "resume": {"enabled": True}}
LAST_WORDS: Final = 80
"""Characters of a schedule's message in a line."""


async def run_schedules_command(ask: Ask, agent: str, words: str) -> list[str]:
    """Carry out `/schedules` with these words. Return the lines to show. `ask` sends a request and may raise."""
    verb, _, arguments = words.partition(" ")
    if verb == "add":
        fields = read_schedule(arguments)
        if fields is None:
            return list(USAGE)
        created = await ask("POST", "/api/schedules", fields | {"agent": agent})
        return [f"scheduled: {describe(created)}"]
    listed = (await ask("GET", "/api/schedules"))["schedules"]
    if not verb:
        return [f"{number}  {describe(row)}" for number, row in enumerate(listed, 1)] or ["there are no schedules"]
    if verb not in (*CHANGES, "delete"):
        return list(USAGE)
    if not (arguments.strip().isdecimal() and 1 <= int(arguments) <= len(listed)):
        return [f"name one by its number, from 1 to {len(listed)}" if listed else "there are no schedules"]
    chosen = listed[int(arguments) - 1]
    path = f"/api/schedules/{quote(chosen['id'], safe='')}"
    if verb == "delete":
        await ask("DELETE", path)
        return [f"deleted: {describe(chosen)}"]
    return [f"{verb}d: {describe(await ask('PATCH', path, CHANGES[verb]))}"]


def read_schedule(words: str) -> dict[str, Any] | None:
    """Return the members of a schedule that these words define, None if they define none."""
    parts = words.split()
    members: dict[str, Any]
    if parts[:1] == ["every"] and len(parts) > 1:
        number, unit = parts[1][:-1], parts[1][-1:]
        if not (number.isdecimal() and unit in UNITS):
            return None
        members, parts = {"every_s": int(number) * UNITS[unit]}, parts[2:]
    else:
        count = 1 if words.lstrip().startswith("@") else 5
        members, parts = {"cron": " ".join(parts[:count])}, parts[count:]
        if len(parts) > 1 and is_zone(parts[0]):
            members["time_zone"], parts = parts[0], parts[1:]
    return members | {"message": " ".join(parts)} if parts else None


def is_zone(word: str) -> bool:
    """Return whether a word looks like a time zone, such as Europe/Berlin; the server checks that it exists."""
    return word == "UTC" or ("/" in word and word[:1].isupper() and word.replace("/", "").replace("_", "").isalpha())


def describe(schedule: Mapping[str, Any]) -> str:
    """Return a schedule as a line."""
    every_s, due_at, last = schedule.get("every_s"), schedule.get("next_due_at"), schedule.get("last")
    when = f"{schedule.get('cron')} ({schedule.get('time_zone')})" if every_s is None else f"every {spell(every_s)}"
    parts = [when, f"{schedule.get('agent') or 'default agent'}: {str(schedule.get('message'))[:LAST_WORDS]}"]
    if not schedule.get("enabled"):
        parts.append("paused")
    elif due_at is not None:
        parts.append(f"next {time.strftime('%Y-%m-%d %H:%M', time.localtime(due_at))}")
    if last is not None and last.get("run_id") is None:
        parts.append(f"last time: {last.get('message')}")
    return one_line(" · ".join(parts))


def spell(seconds: int) -> str:
    """Return seconds in the largest unit that fits: 30m for 1800."""
    unit = max((unit for unit in UNITS if seconds % UNITS[unit] == 0), key=UNITS.__getitem__)
    return f"{seconds // UNITS[unit]}{unit}"


@click.command()
@TENANT
@click.pass_obj
def schedules(remote: AskedServer, tenant: str | None) -> None:
    """List the schedules of users, those that are due next first."""
    answer = remote.ask("GET", "/api/admin/schedules", tenant=tenant)
    remote.show(answer, answer["schedules"], {
        "schedule": text("id"), "user": who, "agent": lambda row: row["agent"] or "(default)",
        "when": lambda row: f"every {row['every_s']} s" if row["cron"] is None else f"{row['cron']} {row['time_zone']}",
        "next": lambda row: moment("next_due_at")(row) if row["enabled"] else "paused",
        "last": lambda row: row["last_code"] or moment("last_due_at")(row),
    })  # fmt: skip


CHAT: Final = ChatCommand(
    "/schedules",
    "messages that are sent at certain times; /schedules help says how to add, pause and delete them",
    run_schedules_command,
)
