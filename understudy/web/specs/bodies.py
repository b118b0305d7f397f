"""The bodies of REST requests and answers, as JSON Schemas. Pure."""

from collections.abc import Mapping
from typing import Final

from actors.lifecycle import State
from sanitization import PRESETS, Action, Category, Direction
from transport.wire.codes import ERRORS
from transport.wire.command_parser import COMMANDS
from transport.wire.dialects import Dialect
from understudy.chat.commands import Accepted
from understudy.observe.actor_events import Incident
from understudy.privacy.records import FORMAT, VERSION
from understudy.storage.export_queries import StoredMemory
from understudy.storage.rows import File, Message, StepRecord, Thread
from understudy.web.specs.commands import form_schema, response_form_schema
from understudy.web.specs.events import shown
from understudy.web.specs.shapes import (
    COUNT,
    FLAG,
    NUMBER,
    OBJECT,
    TEXT,
    WHOLE,
    Schema,
    array_of,
    object_of,
    or_null,
    schema_of_fields,
)
from understudy.web.sse import CONNECTIONLESS

OVER_HTTP: Final = tuple(name for name, kind in COMMANDS.items() if kind in CONNECTIONLESS)
"""Types of the commands that `POST /api/commands` accepts."""


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _all(members: Mapping[str, Schema], *optional: str) -> Schema:
    return object_of(members, [name for name in members if name not in optional])


def _stale(schema: Schema) -> Schema:
    """Add the mark of a cached read."""
    return schema | {"properties": schema["properties"] | {"stale": {"const": True}}}


ERROR: Final = _all(
    {
        "error": _all(
            {
                "code": {"type": "string", "enum": list(ERRORS)},
                "message": TEXT,
                "retryable": FLAG,
                "error_id": TEXT,
            },
            "error_id",
        )
    }
)
SESSION: Final = _all({"session_token": TEXT, "user": TEXT, "session": TEXT, "expires_at": WHOLE})
AGENT: Final = _all(
    {
        "name": TEXT,
        "agent_type": TEXT,
        "pillar": or_null(TEXT),
        "title": TEXT,
        "description": TEXT,
        "tools": array_of(TEXT),
        "starters": array_of(TEXT),
    }
)
AGENTS: Final = _all({"agents": array_of(AGENT), "model": _all({"name": TEXT, "notice": or_null(TEXT)})})
TOOLS: Final = _all({"tools": array_of(_all({"name": TEXT, "description": TEXT, "parameters": OBJECT}))})
FILE: Final = _all(
    {
        "id": TEXT,
        "name": TEXT,
        "media_type": TEXT,
        "size": COUNT,
        "findings": array_of(_all({"category": TEXT, "kind": TEXT, "action": TEXT, "count": COUNT})),
    },
    "findings",
)
UPLOAD: Final = _all({"file": {"type": "string", "contentMediaType": "application/octet-stream"}})
TITLE: Final = _all({"title": {"type": "string", "minLength": 1}})
ALERT: Final = object_of({"message": {"type": "string", "minLength": 1}, "tenant": TEXT}, ["message"])
HEALTH: Final = _all(
    {
        "status": TEXT,
        "checks": {"type": "object", "additionalProperties": _all({"status": TEXT})},
        "version": TEXT,
        "uptime_s": NUMBER,
        "actors": COUNT,
        "restarts": COUNT,
        "dead_letters": COUNT,
        "memory_mb": NUMBER,
        "connections": COUNT,
        "runs": COUNT,
        "runs_waiting": COUNT,
    }
)
COUNTS: Final[Schema] = {"type": "object", "additionalProperties": COUNT}
OBSERVED: Final = _all(
    {
        "path": TEXT,
        "type": TEXT,
        "state": {"type": "string", "enum": [state.value for state in State]},
        "incarnation": COUNT,
        "restarts": COUNT,
        "age_s": NUMBER,
        "depth": COUNTS,
        "child_count": COUNT,
        "resting_below": COUNT,
        "children": array_of(_ref("Observed")),
    }
)
SANITIZED: Final = _all(
    {
        "text": TEXT,
        "changed": FLAG,
        "blocked": FLAG,
        "counts": COUNTS,
        "kinds": COUNTS,
        "findings": array_of(
            _all(
                {
                    "kind": TEXT,
                    "category": {"type": "string", "enum": [each.value for each in Category]},
                    "action": {"type": "string", "enum": [each.value for each in Action]},
                    "start": COUNT,
                    "end": COUNT,
                    "start_utf16": COUNT,
                    "end_utf16": COUNT,
                    "score": NUMBER,
                    "replacement": or_null(TEXT),
                    "detector": TEXT,
                    "reasons": array_of(TEXT),
                }
            )
        ),
        "omitted": COUNT,
        "failed": array_of(TEXT),
    }
)
KILL: Final = _all({"path": TEXT, "part": FLAG}, "part")
MESSAGE: Final[dict[str, Schema]] = {
    **schema_of_fields(Message, ("owner", "rating", "note"))["properties"],
    "feedback": or_null(_all({"rating": or_null(TEXT), "note": or_null(TEXT)})),
    "runs": array_of(_all({"run_id": TEXT, "status": TEXT})),
}
EXPORT_HEAD: Final[dict[str, Schema]] = {
    "format": {"type": "string", "const": FORMAT},
    "version": {"type": "integer", "const": VERSION},
    "exported_at": NUMBER,
}
RUN: Final = _all(
    {
        "run_id": TEXT,
        "status": TEXT,
        "agent_type": TEXT,
        "pillar": or_null(TEXT),
        "conversation_id": or_null(TEXT),
        "started_at": NUMBER,
        "ended_at": or_null(NUMBER),
        "steps": array_of(schema_of_fields(StepRecord, ("run_id",))),
    }
)
NEWEST: Final = or_null(_all({"message_id": TEXT, "run_id": TEXT}))
EXPORTED_THREAD: Final[dict[str, Schema]] = {
    "thread": _ref("Thread"),
    "newest": NEWEST,
    "messages": array_of(_all(MESSAGE | {"runs": array_of(RUN), "raw": or_null(TEXT)}, "raw")),
    "files": array_of(schema_of_fields(File, ("owner",))),
    "events": array_of(_ref("Event")),
}
AGUI_INPUT: Final = object_of(
    {
        "threadId": TEXT,
        "runId": TEXT,
        "messages": array_of(object_of({"id": TEXT, "role": TEXT}, ["id", "role"]), minItems=1),
        "forwardedProps": {},
    },
    ["threadId", "runId", "messages"],
    externalDocs={"url": "https://docs.ag-ui.com/sdk/js/core/types#runagentinput"},
)

SCHEMAS: Final[Mapping[str, Schema]] = {
    "Error": ERROR,
    "Session": SESSION,
    "Agents": AGENTS,
    "Tools": TOOLS,
    "Thread": _stale(schema_of_fields(Thread, ("owner", "node", "fence"))),
    "Threads": _stale(_all({"threads": array_of(_ref("Thread")), "next_cursor": or_null(TEXT)})),
    "Message": _all(MESSAGE | {"html": or_null(TEXT)}),
    "Messages": _stale(_all({"messages": array_of(_ref("Message")), "newest": NEWEST, "next_cursor": or_null(TEXT)})),
    "Export": _all(EXPORT_HEAD | EXPORTED_THREAD, "events"),
    "UserExport": _all(
        EXPORT_HEAD
        | {
            "user": TEXT,
            "tenant": or_null(TEXT),
            "created_at": NUMBER,
            "files": array_of(schema_of_fields(File, ("owner",))),
            "contexts": array_of(schema_of_fields(StoredMemory)),
            "threads": array_of(_all(EXPORTED_THREAD, "events")),
        }
    ),
    "Confirm": _all({"confirm": TEXT}),
    "Erased": _all({"threads": COUNT, "files": COUNT}),
    "Event": {"anyOf": list(shown(Dialect.CANONICAL).values())},
    "Events": _stale(_all({"events": array_of(_ref("Event")), "last_seq": COUNT})),
    "Command": {"anyOf": [*(form_schema(name) for name in OVER_HTTP), response_form_schema()]},
    "Accepted": object_of(schema_of_fields(Accepted)["properties"]),
    "File": FILE,
    "Upload": UPLOAD,
    "Title": TITLE,
    "Alert": ALERT,
    "Alerted": _all({"connections": COUNT}),
    "Observed": OBSERVED,
    "ObservedTree": _all({"tree": _ref("Observed"), "found": or_null(COUNT), "more": FLAG}),
    "Incidents": _all({"incidents": array_of(schema_of_fields(Incident)), "counts": COUNTS}),
    "Kill": KILL,
    "Counts": _all({"connections": COUNT, "runs": COUNT, "runs_waiting": COUNT}),
    "Killed": _all({"path": TEXT}),
    "Health": HEALTH,
    "Ready": _all({"status": TEXT, "storage": TEXT}),
    "RunAgentInput": AGUI_INPUT,
    "Sanitize": _all(
        {
            "text": TEXT,
            "direction": {"type": "string", "enum": [each.value for each in Direction]},
            "policy": {"type": "string", "enum": list(PRESETS)},
        },
        "direction",
        "policy",
    ),
    "Sanitized": SANITIZED,
    "Anything": OBJECT,
}
"""Every schema that a route names."""
