"""The OpenAPI 3.1 document of every REST route: the routes are the application's own, their bodies are declared
here."""

import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, get_args

from attrs import frozen

from actors.lifecycle import State
from sanitization import PRESETS, Action, Category, Direction
from transport.wire.codes import ERRORS
from transport.wire.command_parser import COMMANDS
from transport.wire.commands import Steer
from transport.wire.dialects import Dialect
from transport.wire.events import Usage
from understudy.chat.commands import Accepted
from understudy.chat.file_preview import FilePreview
from understudy.chat.schedules.due import POLICIES
from understudy.content.tags import MOST_TAGS
from understudy.observe.actor_events import Incident
from understudy.privacy.export import FORMS
from understudy.privacy.records import FORMAT, VERSION
from understudy.storage.archive_queries import StoredMemory
from understudy.storage.audit import ACTIONS
from understudy.storage.consents import Consent
from understudy.storage.operator_queries import BY, ScheduleRow, SignInRow, UserRow
from understudy.storage.queries import Which
from understudy.storage.records import ENDED, UNFINISHED, File, Message, StepRecord, Thread
from understudy.storage.spending import KEPT_DAYS
from understudy.storage.stops import KINDS
from understudy.tools.mcp.link import LinkState
from understudy.web.api.account import EraseRequest
from understudy.web.api.accounts import ChangePasswordRequest, InviteRequest, JoinRequest, PasswordRequest
from understudy.web.api.admin import UseModel
from understudy.web.api.admin_accounts import ChangeAccount, InviteUser, ResetAccount
from understudy.web.api.alerts import AlertRequest
from understudy.web.api.inbox import ReadRequest
from understudy.web.api.memory import MemoryChange
from understudy.web.api.observer import KillRequest
from understudy.web.api.openid import SignOutRequest
from understudy.web.api.passkeys import PasskeyJoinRequest, PasskeyRequest, PasskeySignInRequest
from understudy.web.api.runs import ForkRequest, StartRequest
from understudy.web.api.sanitize import SanitizeRequest
from understudy.web.api.schedules import ScheduleRequest
from understudy.web.api.servers import PromptRequest, SwitchRequest
from understudy.web.api.shares import ShareRequest
from understudy.web.api.sign_ins import SignInRequest
from understudy.web.api.stops import StopRequest
from understudy.web.api.threads import ThreadRequest
from understudy.web.api.web_push import SubscribeRequest
from understudy.web.api.widgets import CallRequest
from understudy.web.specs.inbox import BROWSER, INBOX, MARKED, WEB_PUSH
from understudy.web.specs.schemas import (
    COUNT,
    FLAG,
    NUMBER,
    OBJECT,
    TEXT,
    WHOLE,
    Schema,
    array_of,
    body_of,
    fields_schema,
    form_schema,
    members_of,
    object_of,
    or_null,
    response_form_schema,
    schema_of,
    schema_of_fields,
    shown,
)
from understudy.web.sse import CONNECTIONLESS

OVER_HTTP: Final = tuple(name for name, kind in COMMANDS.items() if kind in CONNECTIONLESS)
"""Types of the commands that `POST /api/commands` accepts."""


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _all(members: Mapping[str, Schema], *optional: str) -> Schema:
    return object_of(members, [name for name in members if name not in optional])


def _owned(kind: type[Any], owner: str = "owner", **more: Schema) -> Schema:
    """Describe a row with the user and the tenant in place of the key of the user's data."""
    properties = schema_of_fields(kind)["properties"]
    named = {name: each for name, each in properties.items() if name != owner}
    return _all({"user": TEXT, "tenant": or_null(TEXT)} | named | more)


def _without(schema: Schema, *names: str) -> Schema:
    """Leave members out of the schema of an object."""
    properties = {name: each for name, each in schema["properties"].items() if name not in names}
    return schema | {"properties": properties, "required": [each for each in schema["required"] if each not in names]}


def _stale(schema: Schema) -> Schema:
    """Add the mark of a cached read."""
    return schema | {"properties": schema["properties"] | {"stale": {"const": True}}}


SERVER: Final = _all(
    {
        "name": TEXT, "title": TEXT, "state": {"enum": [each.value for each in LinkState]}, "on": FLAG,
        "auth": or_null(TEXT), "agents": array_of(TEXT),
        "tools": array_of(_all({"name": TEXT, "description": TEXT, "approval": FLAG})),
        "left_out": array_of(_all({"name": TEXT, "why": TEXT})),
    }
)  # fmt: skip
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
LISTED_RUN: Final[Mapping[str, Schema]] = {
    "run_id": TEXT,
    "thread_id": TEXT,
    "message_id": TEXT,
    "status": {"type": "string", "enum": [*UNFINISHED, *ENDED]},
    "agent": TEXT,
    "agent_type": TEXT,
    "pillar": or_null(TEXT),
    "started_at": NUMBER,
    "ended_at": or_null(NUMBER),
    "continues": or_null(TEXT),
    "restarts": COUNT,
}
RUN_STATE: Final[Mapping[str, Schema]] = {
    **LISTED_RUN,
    "usage": schema_of_fields(Usage),
    "steps": _all({"turns": COUNT, "calls": COUNT, "worked_s": NUMBER}),
    "budget_left": or_null(OBJECT),
    "budget": or_null(OBJECT),
    "waits_for": array_of(OBJECT),
    "attempts": COUNT,
    "error": or_null(OBJECT),
    "ended_by": or_null(OBJECT),
}
SCHEDULED: Final[Mapping[str, Schema]] = {
    **members_of(ScheduleRequest),
    "message": {"type": "string", "minLength": 1},
    "every_s": or_null(COUNT),
    "policy": {"type": "string", "enum": list(POLICIES)},
}
FIRED: Final = {"due_at": NUMBER} | {name: or_null(TEXT) for name in ("thread_id", "run_id", "code", "message")}
SESSION: Final = _all(
    {"session_token": TEXT, "user": TEXT, "session": TEXT, "anonymous": FLAG, "expires_at": WHOLE}, "anonymous"
)
ME: Final = _all(
    {
        "user": TEXT, "name": TEXT, "anonymous": FLAG, "session": TEXT, "tenant": or_null(TEXT),
        "roles": array_of(TEXT), "groups": array_of(TEXT), "expires_at": WHOLE,
    }
)  # fmt: skip
MODEL: Final = _all({"name": TEXT, "notice": or_null(TEXT)})
AGENT: Final = _all(
    {
        "name": TEXT,
        "agent_type": TEXT,
        "pillar": or_null(TEXT),
        "title": TEXT,
        "description": TEXT,
        "tools": array_of(TEXT),
        "starters": array_of(TEXT),
        "translations": {"type": "object", "additionalProperties": OBJECT},
        "continues": FLAG,
        "servers": array_of(TEXT),
        "output": or_null(OBJECT),
        "model": MODEL,
    }
)
AGENTS: Final = _all(
    {
        "agents": array_of(AGENT),
        "share_links": FLAG,
        "model": _all({"name": TEXT, "notice": or_null(TEXT), "currency": TEXT, "costs": FLAG, "voice": FLAG}),
    }
)
TOOLS: Final = _all(
    {"tools": array_of(_all({"name": TEXT, "description": TEXT, "repeatable": FLAG, "parameters": OBJECT}))}
)
SHARE: Final = {"share_id": TEXT, "created_at": NUMBER, "expires_at": NUMBER}
SHARED_MESSAGE: Final = {
    "role": TEXT, "agent": TEXT, "content": TEXT, "status": TEXT, "created_at": NUMBER,
    "visualization": or_null({"type": "object"}), "files": array_of({"type": "object"}),
}  # fmt: skip
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
MATCH: Final = _all({"message_id": TEXT, "role": TEXT, "snippet": array_of(_all({"text": TEXT, "hit": FLAG}))})
TAGS: Final = array_of(TEXT) | {"maxItems": MOST_TAGS}
_THREAD_FIELDS: Final = schema_of_fields(Thread, ("owner", "node", "fence", "pinned_at", "archived_at", "tags"))
THREAD: Final = _all(
    _THREAD_FIELDS["properties"] | {"pinned": FLAG, "archived": FLAG, "tags": TAGS, "match": or_null(MATCH)}, "match"
)
AUDIT_ENTRY: Final = _all(
    {
        "number": COUNT, "at": NUMBER, "user": TEXT, "user_tenant": or_null(TEXT), "role": or_null(TEXT), "way": TEXT,
        "action": {"type": "string", "enum": list(ACTIONS)}, "target": or_null(TEXT), "tenant": or_null(TEXT),
        "detail": OBJECT,
    }
)  # fmt: skip
STOP: Final = _all({"kind": {"enum": [*KINDS]}, "name": TEXT, "who": TEXT, "reason": TEXT, "at": NUMBER, "known": FLAG})
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
MESSAGE: Final[dict[str, Schema]] = {
    **schema_of_fields(Message, ("owner", "rating", "note"))["properties"],
    "feedback": or_null(_all({"rating": or_null(TEXT), "note": or_null(TEXT)})),
    "runs": array_of(
        _all({"run_id": TEXT, "status": TEXT, "continues": TEXT, "restarts": COUNT}, "continues", "restarts")
    ),
}
TURN_MESSAGE: Final = {name: schema for name, schema in MESSAGE.items() if name != "runs"}
TURN: Final = _all(
    {
        "message": _all(TURN_MESSAGE),
        "run": _all(
            {
                "run_id": TEXT,
                "status": TEXT,
                "started_at": NUMBER,
                "ended_at": or_null(NUMBER),
                "continues": TEXT,
                "restarts": COUNT,
            },
            "continues",
            "restarts",
        ),
        "first_seq": or_null(COUNT),
        "again": FLAG,
        "answer": or_null(_all(TURN_MESSAGE)),
        "events": array_of(OBJECT),
        "earlier": array_of(_all({"run_id": TEXT, "events": array_of(OBJECT)})),
    }
)
OTHER_TURN: Final = _all(
    {
        "message_id": TEXT,
        "parent_id": or_null(TEXT),
        "run_id": TEXT,
        "status": TEXT,
        "first_seq": or_null(COUNT),
        "again": FLAG,
    }
)
EXPORT_HEAD: Final[dict[str, Schema]] = {
    "format": {"type": "string", "const": FORMAT},
    "version": {"type": "integer", "const": VERSION},
    "exported_at": NUMBER,
}
PASSKEY: Final = _all({"id": TEXT, "name": TEXT, "created_at": NUMBER, "used_at": or_null(NUMBER)})
EXPORTED_ACCOUNT: Final = _all(
    {
        "roles": array_of(TEXT),
        "groups": array_of(TEXT),
        "created_at": NUMBER,
        "disabled_at": or_null(NUMBER),
        "password": FLAG,
        "passkeys": array_of(PASSKEY),
        "invited_until": or_null(NUMBER),
    }
)
RUN: Final = _all(
    {
        "run_id": TEXT,
        "status": TEXT,
        "continues": TEXT,
        "restarts": COUNT,
        "agent_type": TEXT,
        "pillar": or_null(TEXT),
        "conversation_id": or_null(TEXT),
        "started_at": NUMBER,
        "ended_at": or_null(NUMBER),
        "steps": array_of(schema_of_fields(StepRecord, ("run_id",))),
    },
    "continues",
    "restarts",
)
NEWEST: Final = or_null(_all({"message_id": TEXT, "run_id": TEXT}))
EXPORTED_THREAD: Final[dict[str, Schema]] = {
    "thread": _ref("Thread"),
    "newest": NEWEST,
    "messages": array_of(_all(MESSAGE | {"runs": array_of(RUN), "raw": or_null(TEXT)}, "raw")),
    "files": array_of(schema_of_fields(File, ("owner",))),
    "consents": array_of(schema_of_fields(Consent)),
    "events": array_of(_ref("Event")),
}
AGUI_INPUT: Final = object_of(
    {
        "threadId": TEXT,
        "runId": TEXT,
        "protocolVersion": TEXT,
        "messages": array_of(object_of({"id": TEXT, "role": TEXT}, ["id", "role"])),
        "state": {},
        "context": array_of(object_of({"description": TEXT, "value": TEXT}, ["description", "value"])),
        "forwardedProps": {},
        "resume": array_of(
            object_of(
                {
                    "interruptId": TEXT,
                    "status": {"type": "string", "enum": ["resolved", "cancelled"]},
                    "payload": OBJECT,
                },
                ["interruptId", "status"],
            )
        ),
    },
    ["threadId", "runId", "messages"],
    externalDocs={"url": "https://docs.ag-ui.com/sdk/js/core/types#runagentinput"},
)
AGUI_CAPABILITIES: Final = object_of(
    {}, [], externalDocs={"url": "https://docs.ag-ui.com/concepts/capabilities#the-agentcapabilities-interface"}
)

OPENAI_DOCS: Final = {"url": "https://platform.openai.com/docs/api-reference"}
RESPONSE_INPUT: Final = object_of(
    {
        "model": TEXT,
        "input": {"anyOf": [TEXT, array_of(OBJECT)]},
        "instructions": or_null(TEXT),
        "stream": or_null(FLAG),
        "background": or_null(FLAG),
        "store": or_null(FLAG),
        "previous_response_id": or_null(TEXT),
        "conversation": or_null({"anyOf": [TEXT, OBJECT]}),
        "metadata": or_null(OBJECT),
        "tools": or_null(array_of(OBJECT)),
    },
    ["model", "input"],
    externalDocs=OPENAI_DOCS,
)
RESPONSE: Final = object_of(
    {
        "id": TEXT,
        "object": {"const": "response"},
        "created_at": WHOLE,
        "status": {"type": "string", "enum": ["in_progress", "completed", "incomplete", "cancelled", "failed"]},
        "model": TEXT,
        "output": array_of(object_of({"id": TEXT, "type": TEXT}, ["id", "type"])),
        "usage": or_null(OBJECT),
        "error": or_null(OBJECT),
    },
    ["id", "object", "created_at", "status", "model", "output"],
    externalDocs=OPENAI_DOCS,
)
COMPLETION_INPUT: Final = object_of(
    {
        "model": TEXT,
        "messages": array_of(object_of({"role": TEXT}, ["role"]), minItems=1),
        "stream": or_null(FLAG),
        "tools": or_null(array_of(OBJECT)),
    },
    ["model", "messages"],
    externalDocs=OPENAI_DOCS,
)
MODEL_CARD: Final = _all({"id": TEXT, "object": {"const": "model"}, "created": WHOLE, "owned_by": TEXT})

SCHEMAS: Final[Mapping[str, Schema]] = {
    "Error": ERROR,
    "ResponseInput": RESPONSE_INPUT,
    "Response": RESPONSE,
    "ResponseDeleted": _all({"id": TEXT, "object": TEXT, "deleted": FLAG}),
    "ResponseItems": _all({"object": {"const": "list"}, "data": array_of(OBJECT), "has_more": FLAG}),
    "CompletionInput": COMPLETION_INPUT,
    "Completion": object_of({"id": TEXT, "choices": array_of(OBJECT)}, ["id", "choices"], externalDocs=OPENAI_DOCS),
    "ModelCard": MODEL_CARD,
    "ModelCards": _all({"object": {"const": "list"}, "data": array_of(_ref("ModelCard"))}),
    "Session": SESSION,
    "Me": ME,
    "Agents": AGENTS,
    "Tools": TOOLS,
    "Thread": _stale(THREAD),
    "Consents": _all({"consents": array_of(schema_of_fields(Consent))}),
    "Schedule": _all(
        {
            "id": TEXT,
            **SCHEDULED,
            "created_at": NUMBER,
            "next_due_at": or_null(NUMBER),
            "last": or_null(_all(FIRED)),
        }
    ),
    "ShareRequest": body_of(ShareRequest),
    "Share": _all(SHARE),
    "NewShare": _all({**SHARE, "path": TEXT}),
    "Shares": _all({"shares": array_of(_ref("Share"))}),
    "SharedPage": _all(
        {
            "title": TEXT,
            "created_at": NUMBER,
            "expires_at": NUMBER,
            "messages": array_of(_all(SHARED_MESSAGE)),
            "older": or_null(COUNT),
        }
    ),
    "Inbox": INBOX,
    "ReadMarks": body_of(ReadRequest, threads=MARKED),
    "WebPush": WEB_PUSH,
    "Browser": BROWSER,
    "Subscribe": body_of(SubscribeRequest),
    "Schedules": _all({"schedules": array_of(_ref("Schedule"))}),
    "NewSchedule": body_of(ScheduleRequest, **SCHEDULED),
    "ScheduleChange": object_of(SCHEDULED, []),
    "Threads": _stale(_all({"threads": array_of(_ref("Thread")), "next_cursor": or_null(TEXT)})),
    "Tags": _all({"tags": array_of(_all({"tag": TEXT, "threads": COUNT}))}),
    "Message": _all(MESSAGE),
    "Messages": _stale(_all({"messages": array_of(_ref("Message")), "newest": NEWEST, "next_cursor": or_null(TEXT)})),
    "Turns": _stale(
        _all(
            {
                "title": TEXT,
                "seq": COUNT,
                "turns": array_of(TURN),
                "others": array_of(OTHER_TURN),
                "tip": or_null(TEXT),
                "older": or_null(TEXT),
            }
        )
    ),
    "Export": _all(EXPORT_HEAD | EXPORTED_THREAD, "events"),
    "UserExport": _all(
        EXPORT_HEAD
        | {
            "user": TEXT,
            "tenant": or_null(TEXT),
            "created_at": NUMBER,
            "account": or_null(EXPORTED_ACCOUNT),
            "files": array_of(schema_of_fields(File, ("owner",))),
            "contexts": array_of(schema_of_fields(StoredMemory)),
            "threads": array_of(_all(EXPORTED_THREAD, "events")),
        }
    ),
    "Confirm": body_of(EraseRequest),
    "Erased": _all({"threads": COUNT, "files": COUNT}),
    "Event": {"anyOf": list(shown(Dialect.CANONICAL).values())},
    "Events": _stale(_all({"events": array_of(_ref("Event")), "last_seq": COUNT})),
    "Steer": _without(fields_schema(Steer), "run_id", "session_token"),
    "Command": {"anyOf": [*(form_schema(name) for name in OVER_HTTP), response_form_schema()]},
    "Accepted": object_of(schema_of_fields(Accepted)["properties"]),
    "File": FILE,
    "Widget": _all({"html": TEXT, "frame": TEXT, "tool": OBJECT, "arguments": OBJECT, "result": {}}),
    "WidgetCall": body_of(CallRequest),
    "WidgetRun": _all({"message_id": TEXT, "run_id": TEXT}),
    "FilePreview": _all(FILE["properties"] | schema_of_fields(FilePreview)["properties"], "findings"),
    "Upload": UPLOAD,
    "Runs": _all({"runs": array_of(_ref("ListedRun")), "next_cursor": or_null(TEXT)}),
    "ListedRun": _all(LISTED_RUN),
    "RunState": _all(RUN_STATE),
    "RunEvents": _all({"events": array_of(OBJECT), "more": FLAG, "status": TEXT}),
    "StartRun": body_of(StartRequest),
    "ForkRun": body_of(ForkRequest, step=or_null(COUNT), after=or_null(COUNT)),
    "Cancelled": _all({"run_id": TEXT}),
    "Memory": _all(
        {
            "memory": array_of(_ref("Remembered")),
            "notebooks": {"type": "object", "additionalProperties": array_of(TEXT)},
            "next_cursor": or_null(TEXT),
        }
    ),
    "Remembered": _all({"notebook": TEXT, "name": TEXT, "value": {}, "updated_at": NUMBER, "expires_at": NUMBER}),
    "MemoryChange": body_of(MemoryChange),
    "ThreadChange": body_of(ThreadRequest, title={"type": "string", "minLength": 1}, tags=TAGS),
    "Switch": body_of(SwitchRequest),
    "SignIn": body_of(SignInRequest),
    "SignInStarted": _all({"url": or_null(TEXT)}),
    "SignInAt": _all({"sign_in": or_null(_all({"title": TEXT, "url": TEXT})), "password": FLAG}),
    "Password": body_of(PasswordRequest),
    "NewPassword": body_of(ChangePasswordRequest),
    "PasskeySignIn": body_of(PasskeySignInRequest),
    "PasskeyJoin": body_of(PasskeyJoinRequest),
    "NewPasskey": body_of(PasskeyRequest),
    "Passkey": PASSKEY,
    "Passkeys": _all({"password": FLAG, "passkeys": array_of(PASSKEY)}),
    "Invite": body_of(InviteRequest),
    "Invited": _all({"user": TEXT}),
    "Join": body_of(JoinRequest),
    "SignOut": body_of(SignOutRequest),
    "SignedOut": _all({"url": or_null(TEXT)}),
    "Server": SERVER,
    "Servers": _all({"servers": array_of(_ref("Server"))}),
    "Prompts": _all({"prompts": array_of(_ref("Prompt"))}),
    "Prompt": _all(
        {
            "server": TEXT,
            "name": TEXT,
            "title": TEXT,
            "description": TEXT,
            "arguments": array_of(_all({"name": TEXT, "description": TEXT, "required": FLAG})),
        }
    ),
    "PromptRequest": body_of(PromptRequest),
    "PromptText": _all({"messages": array_of(_all({"role": TEXT, "text": TEXT})), "text": TEXT}),
    "Alert": body_of(AlertRequest, message={"type": "string", "minLength": 1}),
    "Audit": _all({"entries": array_of(AUDIT_ENTRY), "next_cursor": or_null(TEXT)}),
    "Stops": _all({"stops": array_of(STOP)}),
    "Stop": STOP,
    "RunStopped": _all({"run_id": TEXT}),
    "TakenOver": _all({"by": TEXT, "reason": or_null(TEXT), "at": NUMBER}),
    "TakenRun": _all({**RUN_STATE, "taken_over": _ref("TakenOver")}),
    "OperatorCommand": object_of({"type": {"type": "string", "enum": ["steer", "approve", "answer"]}}, ["type"]),
    "StopReason": body_of(StopRequest),
    "Alerted": _all({"connections": COUNT}),
    "Observed": OBSERVED,
    "ObservedTree": _all({"tree": _ref("Observed"), "found": or_null(COUNT), "more": FLAG}),
    "Incidents": _all({"incidents": array_of(schema_of_fields(Incident)), "counts": COUNTS}),
    "OperatorRuns": _all(
        {"open": array_of(OBJECT), "ended": array_of(OBJECT), "currency": TEXT, "node": or_null(TEXT)}
    ),
    "OperatorRun": OBJECT,
    "OperatorConnections": _all({"connections": array_of(OBJECT), "total": COUNT}),
    "OperatorUsers": _all({"users": array_of(OBJECT), "total": COUNT, "currency": TEXT}),
    "OperatorHealth": _all({"health": OBJECT, "pools": OBJECT, "activity": OBJECT}),
    "AdminUsers": _all({"users": array_of(_owned(UserRow, "id", connections=COUNT)), "next_cursor": or_null(TEXT)}),
    "AdminSpending": _all({"spending": array_of(OBJECT), "since": TEXT, "until": TEXT, "currency": TEXT}),
    "AdminSchedules": _all({"schedules": array_of(_owned(ScheduleRow))}),
    "AdminSignIns": _all({"sign_ins": array_of(_owned(SignInRow))}),
    "Account": _all(
        {
            "name": TEXT,
            "state": {"type": "string", "enum": ["active", "disabled", "invited", "expired"]},
            "roles": array_of(TEXT),
            "groups": array_of(TEXT),
            "created_at": NUMBER,
        }
    ),
    "AdminAccounts": _all({"accounts": array_of(_ref("Account")), "next_cursor": or_null(TEXT)}),
    "InviteUser": body_of(InviteUser),
    "ResetAccount": body_of(ResetAccount),
    "ChangeAccount": body_of(ChangeAccount),
    "JoinLink": _all({"name": TEXT, "path": TEXT, "expires_at": NUMBER}),
    "AdminSettings": _all(
        {"settings": array_of(_all({"name": TEXT, "value": {}, "secret": FLAG, "is_set": FLAG, "source": TEXT}))}
    ),
    "LocalModels": _all({"in_use": TEXT, "offered": array_of(_all({"server": TEXT, "port": WHOLE, "model": TEXT}))}),
    "LocalModelChoice": body_of(UseModel),
    "ModelInUse": _all({"in_use": TEXT}),
    "OperatorFound": _all({name: array_of(OBJECT) for name in ("users", "threads", "runs", "incidents")}),
    "Kill": body_of(KillRequest),
    "Counts": _all({"connections": COUNT, "runs": COUNT, "runs_waiting": COUNT}),
    "Killed": _all({"path": TEXT}),
    "Health": HEALTH,
    "Ready": _all({"status": TEXT, "storage": TEXT}),
    "RunAgentInput": AGUI_INPUT,
    "AgentCapabilities": AGUI_CAPABILITIES,
    "Sanitize": body_of(
        SanitizeRequest, direction=schema_of(Direction), policy={"type": "string", "enum": list(PRESETS)}
    ),
    "Sanitized": SANITIZED,
    "HookAnswer": _all(
        {
            "challenge": TEXT,
            "ok": FLAG,
            "ignored": FLAG,
            "error": TEXT,
            "message_id": TEXT,
            "run_id": TEXT,
            "thread_id": TEXT,
        },
        "challenge",
        "ok",
        "ignored",
        "error",
        "message_id",
        "run_id",
        "thread_id",
    ),
    "Anything": OBJECT,
}
"""Every schema that a route names."""


OPENAPI: Final = "3.1.0"
JSON: Final = "application/json"
EVENTS: Final = "text/event-stream"


@frozen
class AppRoute:
    """A route of the application: its path and methods, and the summary of its view."""

    method: str
    rule: str
    endpoint: str
    summary: str

    @property
    def path(self) -> str:
        """The path as OpenAPI writes it: `/api/files/{file_id}`."""
        return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", self.rule)


@frozen
class RouteSpec:
    """The parts of a route's description that its view does not have. `answer` is (status, schema or media type);
    `errors` are codes.

    `or_text` is the media type of a text that may be answered instead. `also` describes further statuses.
    """

    answer: tuple[int, str]
    body: str | None = None
    query: Mapping[str, Schema] = {}
    headers: Mapping[str, Schema] = {}
    errors: Sequence[str] = ()
    token: bool = True
    media_type: str = JSON
    or_text: str = ""
    also: Mapping[int, str] = {}


_TO_500: Final = {"type": "integer", "minimum": 1, "maximum": 500}
_PAGE: Final = {"cursor": TEXT, "limit": {"type": "integer", "minimum": 1, "maximum": 200}}
_KEY: Final = {"Idempotency-Key": TEXT}
_AFTER: Final = {"type": "integer", "minimum": 0}
_STORED: Final = ("storage_unavailable", "internal")
_THREAD: Final = ("invalid_command", "not_found", *_STORED)
_TAKEN: Final = (*_THREAD, "forbidden", "message_too_large", "run_ended", "taken_over")
_COMMAND_ERRORS: Final = (
    "bad_json", "invalid_command", "unknown_type", "empty_message", "pillar_required", "unknown_pillar",
    "unknown_agent_type", "message_id_reused", "content_blocked", "message_too_large", "not_found", "rate_limited",
    "run_ended", "busy", "quota_exceeded", "not_undoable", "undo_expired", "already_undone", "not_continuable",
    *_STORED,
)  # fmt: skip
_OPENAI_ERRORS: Final = (
    "bad_json", "invalid_command", "empty_message", "unknown_agent_type", "message_id_reused", "content_blocked",
    "message_too_large", "file_too_large", "quota_exceeded", "not_found", "rate_limited", "busy", *_STORED,
)  # fmt: skip
_UNDO_ERRORS: Final = ("not_found", "not_undoable", "undo_expired", "already_undone", "rate_limited", "busy", *_STORED)
_SCHEDULE_ERRORS: Final = (
    "invalid_command", "invalid_schedule", "empty_message", "unknown_agent_type", "unknown_pillar", "content_blocked",
    "forbidden", "message_too_large", "not_found", "rate_limited", "busy", "quota_exceeded", *_STORED,
)  # fmt: skip
_EXPORT: Final = {"format": {"type": "string", "enum": list(FORMS)}, "raw": TEXT, "events": TEXT}
_DIALECT: Final = {"type": "string", "enum": [each.value for each in Dialect]}

_ACCOUNT: Final = ("invalid_command", "message_too_large", "not_found", "busy", *_STORED)
_OPERATOR: Final = ("invalid_command", "rate_limited", "storage_unavailable", "internal")
ROUTES: Final[Mapping[str, RouteSpec]] = {
    "sessions.create": RouteSpec(
        (201, "Session"), token=False, errors=("unauthenticated", "token_expired", "rate_limited", "busy", *_STORED)
    ),
    "openid.told": RouteSpec((200, "SignInAt"), token=False),
    "accounts.sign_in": RouteSpec(
        (201, "Session"), body="Password", token=False,
        errors=(
            "invalid_command", "unauthenticated", "token_expired", "not_found", "message_too_large", "rate_limited",
            "busy", *_STORED,
        ),
    ),
    "accounts.change_password": RouteSpec(
        (200, "Session"), body="NewPassword",
        errors=(
            "invalid_command", "token_expired", "forbidden", "not_found", "message_too_large", "rate_limited", "busy",
            *_STORED,
        ),
    ),
    "accounts.invited": RouteSpec(
        (200, "Invited"), body="Invite", token=False,
        errors=("invalid_command", "not_found", "message_too_large", *_STORED),
    ),
    "accounts.join": RouteSpec(
        (201, "Session"), body="Join", token=False,
        errors=("invalid_command", "token_expired", "not_found", "message_too_large", "busy", *_STORED),
    ),
    "passkeys.begin_sign_in": RouteSpec(
        (200, "Anything"), token=False, errors=("invalid_command", "not_found", "rate_limited", *_STORED)
    ),
    "passkeys.sign_in": RouteSpec(
        (201, "Session"), body="PasskeySignIn", token=False,
        errors=(
            "invalid_command", "unauthenticated", "token_expired", "forbidden", "not_found", "message_too_large",
            *_STORED,
        ),
    ),
    "passkeys.begin_join": RouteSpec(
        (200, "Anything"), body="Invite", token=False,
        errors=("invalid_command", "not_found", "message_too_large", "rate_limited", *_STORED),
    ),
    "passkeys.join": RouteSpec(
        (201, "Session"), body="PasskeyJoin", token=False,
        errors=("invalid_command", "token_expired", "forbidden", "not_found", "message_too_large", *_STORED),
    ),
    "passkeys.listing": RouteSpec((200, "Passkeys"), errors=("forbidden", "not_found", *_STORED)),
    "passkeys.begin_add": RouteSpec(
        (200, "Anything"),
        errors=("invalid_command", "forbidden", "not_found", "rate_limited", "quota_exceeded", *_STORED),
    ),
    "passkeys.add": RouteSpec(
        (201, "Passkey"), body="NewPasskey",
        errors=("invalid_command", "forbidden", "not_found", "message_too_large", "quota_exceeded", *_STORED),
    ),
    "passkeys.remove": RouteSpec((204, ""), errors=("forbidden", "not_found", *_STORED)),
    "hooks.receive": RouteSpec(
        (200, "HookAnswer"), body="Anything", token=False,
        errors=("invalid_command", "unauthenticated", "message_too_large", "rate_limited", "busy", *_STORED),
    ),
    "openid.sign_in": RouteSpec(
        (303, "text/html"), query={"next": TEXT}, token=False,
        also={400: "`next` is no path of this server.", 404: "Users need a token.", 503: "The provider is away."},
    ),
    "openid.callback": RouteSpec(
        (303, "text/html"), query={"state": TEXT, "code": TEXT, "iss": TEXT, "error": TEXT}, token=False,
        also={400: "It is no answer.", 403: "It cannot be trusted.", 404: "It has expired.", 503: "A server is away."},
    ),
    "openid.sign_out": RouteSpec(
        (200, "SignedOut"), body="SignOut", errors=("invalid_command", "message_too_large", "busy", *_STORED)
    ),
    "openid.back_channel_logout": RouteSpec(
        (200, "Anything"), token=False, also={400: "It is no logout token of the provider."},
        errors=("not_found", "message_too_large", "busy", *_STORED),
    ),
    "sessions.refresh": RouteSpec((200, "Session"), errors=("busy", *_STORED)),
    "sessions.end": RouteSpec((204, ""), errors=("busy", *_STORED)),
    "agents.agents": RouteSpec((200, "Agents"), errors=("internal",)),
    "agents.tools": RouteSpec((200, "Tools"), errors=("internal",)),
    "threads.listing": RouteSpec(
        (200, "Threads"),
        query={"query": TEXT, "tag": TAGS, "which": {"enum": [*get_args(Which)]}, **_PAGE},
        errors=("invalid_command", *_STORED),
    ),
    "tags.listing": RouteSpec((200, "Tags"), errors=_STORED),
    "runs.listing": RouteSpec(
        (200, "Runs"),
        query={"status": {"type": "string", "enum": [*UNFINISHED, *ENDED]}, "agent": TEXT, "thread": TEXT, **_PAGE},
        errors=("invalid_command", *_STORED),
    ),
    "runs.start": RouteSpec((202, "Accepted"), body="StartRun", headers=_KEY, errors=_COMMAND_ERRORS),
    "runs.one": RouteSpec((200, "RunState"), errors=_THREAD),
    "runs.events": RouteSpec(
        (200, "RunEvents"),
        query={"after": _AFTER, "limit": {"type": "integer", "minimum": 1, "maximum": 1000}},
        errors=_THREAD,
    ),
    "runs.cancel": RouteSpec((202, "Cancelled"), errors=(*_THREAD, "rate_limited")),
    "runs.go_on": RouteSpec((202, "Accepted"), headers=_KEY, errors=_COMMAND_ERRORS),
    "runs.fork": RouteSpec((202, "Accepted"), body="ForkRun", headers=_KEY, errors=_COMMAND_ERRORS),
    "inbox.listing": RouteSpec((200, "Inbox"), errors=_STORED),
    "inbox.read": RouteSpec((204, ""), body="ReadMarks", errors=("invalid_command", "message_too_large", *_STORED)),
    "web_push.listing": RouteSpec((200, "WebPush"), errors=_STORED),
    "web_push.subscribe": RouteSpec((200, "Browser"), body="Subscribe", errors=(*_THREAD, "message_too_large")),
    "web_push.unsubscribe": RouteSpec((204, ""), errors=_THREAD),
    "schedules.listing": RouteSpec((200, "Schedules"), errors=_STORED),
    "schedules.make": RouteSpec((201, "Schedule"), body="NewSchedule", headers=_KEY, errors=_SCHEDULE_ERRORS),
    "schedules.one": RouteSpec((200, "Schedule"), errors=_THREAD),
    "schedules.change": RouteSpec((200, "Schedule"), body="ScheduleChange", errors=_SCHEDULE_ERRORS),
    "schedules.delete": RouteSpec((204, ""), errors=_THREAD),
    "threads.one": RouteSpec((200, "Thread"), errors=_THREAD),
    "threads.change": RouteSpec(
        (200, "Thread"), body="ThreadChange",
        errors=(*_THREAD, "file_too_large", "content_blocked", "rate_limited", "busy"),
    ),
    "threads.delete": RouteSpec((204, ""), errors=_THREAD),
    "shares.make": RouteSpec(
        (201, "NewShare"), body="ShareRequest", errors=(*_THREAD, "forbidden", "message_too_large", "quota_exceeded")
    ),
    "shares.listing": RouteSpec((200, "Shares"), errors=_THREAD),
    "shares.revoke": RouteSpec((204, ""), errors=_THREAD),
    "shares.read": RouteSpec(
        (200, "SharedPage"), query={"skip": _AFTER}, token=False, errors=("invalid_command", "not_found", *_STORED)
    ),
    "shares.shared_file": RouteSpec(
        (200, "application/octet-stream"), query={"skip": _AFTER}, token=False,
        errors=("invalid_command", "not_found", *_STORED),
    ),
    "shares.shared_preview": RouteSpec(
        (200, "FilePreview"), query={"skip": _AFTER}, token=False, errors=("invalid_command", "not_found", *_STORED)
    ),
    "page.shared": RouteSpec(
        (200, "text/html"), token=False, also={404: "There is no such link any more.", 503: "The database is away."}
    ),
    "threads.consents": RouteSpec((200, "Consents"), errors=_THREAD),
    "threads.disallow": RouteSpec((204, ""), errors=(*_THREAD, "rate_limited")),
    "servers.listing": RouteSpec((200, "Servers"), errors=_THREAD),
    "servers.switch": RouteSpec((200, "Server"), body="Switch", errors=_THREAD),
    "widgets.widget": RouteSpec((200, "Widget"), query={"call_id": TEXT}, errors=(*_THREAD, "forbidden", "busy")),
    "widgets.call": RouteSpec((202, "WidgetRun"), body="WidgetCall", errors=(*_COMMAND_ERRORS, "forbidden")),
    "widgets.frame": RouteSpec((200, "text/html"), token=False, errors=("not_found",)),
    "servers.prompts": RouteSpec((200, "Prompts"), errors=_STORED),
    "servers.prompt": RouteSpec(
        (200, "PromptText"),
        body="PromptRequest",
        errors=(*_THREAD, "invalid_arguments", "forbidden", "content_blocked", "file_too_large", "busy"),
    ),
    "sign_ins.start": RouteSpec(
        (200, "SignInStarted"), body="SignIn",
        errors=("invalid_command", "message_too_large", "not_found", "forbidden", "busy", "rate_limited", *_STORED),
    ),
    "sign_ins.end": RouteSpec((204, ""), errors=("not_found", "rate_limited", *_STORED)),
    "sign_ins.callback": RouteSpec(
        (200, "text/html"), query={"state": TEXT, "code": TEXT, "iss": TEXT, "error": TEXT}, token=False,
        also={303: "Signed in: back to the page.", 404: "It has expired.", 503: "A server does not answer."},
    ),
    "threads.messages": RouteSpec((200, "Messages"), query=_PAGE, errors=_THREAD),
    "turns.page": RouteSpec(
        (200, "Turns"),
        query={"before": TEXT, "through": TEXT, "limit": {"type": "integer", "minimum": 1, "maximum": 50}},
        errors=_THREAD,
    ),
    "threads.export": RouteSpec((200, "Export"), query=_EXPORT, errors=(*_THREAD, "busy"), or_text="text/markdown"),
    "threads.events": RouteSpec(
        (200, "Events"),
        query={"after": _AFTER, "limit": {"type": "integer", "minimum": 1, "maximum": 1000}},
        errors=_THREAD,
    ),
    "stream.stream": RouteSpec(
        (200, "text/event-stream"),
        query={"after": _AFTER, "dialect": _DIALECT, "session_token": TEXT},
        headers={"Last-Event-ID": TEXT},
        errors=(*_THREAD, "rate_limited", "busy"),
    ),
    "steers.send": RouteSpec((202, "Accepted"), body="Steer", errors=_COMMAND_ERRORS),
    "steers.take_back": RouteSpec((204, ""), errors=("invalid_command", "not_found", "rate_limited", *_STORED)),
    "commands.command": RouteSpec((202, "Accepted"), body="Command", errors=_COMMAND_ERRORS),
    "undo.undo_call": RouteSpec((202, "Accepted"), errors=_UNDO_ERRORS),
    "undo.undo_run": RouteSpec((202, "Accepted"), errors=_UNDO_ERRORS),
    "a2a.card": RouteSpec((200, "Anything"), token=False, errors=("internal",)),
    "a2a.agent_card": RouteSpec((200, "Anything"), token=False, errors=("not_found", "internal")),
    "a2a.call": RouteSpec((200, "Anything"), body="Anything", errors=("message_too_large", "rate_limited", "internal")),
    "ui.chat": RouteSpec((200, "text/event-stream"), body="Anything", query={"agent": TEXT}, headers=_KEY),
    "ui.resume": RouteSpec((200, "text/event-stream"), errors=("busy", *_STORED), also={204: "No run is at work."}),
    "mcp.mcp": RouteSpec(
        (200, "text/event-stream"), body="Anything",
        also={202: "A notification.", 400: "No request of the protocol.", 406: "The client takes no stream."},
        errors=("message_too_large", "rate_limited", "busy", "not_found", "internal"),
    ),
    "agui.agui": RouteSpec((200, "text/event-stream"), body="RunAgentInput", query={"agent": TEXT}),
    "agui.told_capabilities": RouteSpec((200, "AgentCapabilities"), query={"agent": TEXT}, errors=("not_found",)),
    "models.models": RouteSpec((200, "ModelCards"), errors=("rate_limited", "internal")),
    "models.model": RouteSpec((200, "ModelCard"), errors=("not_found", "rate_limited", "internal")),
    "responses.create": RouteSpec(
        (200, "Response"), body="ResponseInput", headers=_KEY, errors=_OPENAI_ERRORS, or_text=EVENTS
    ),
    "responses.one": RouteSpec(
        (200, "Response"),
        query={"stream": FLAG, "starting_after": _AFTER},
        errors=(*_THREAD, "rate_limited", "busy"),
        or_text=EVENTS,
    ),
    "responses.cancel": RouteSpec((200, "Response"), errors=(*_THREAD, "rate_limited", "busy")),
    "responses.delete": RouteSpec((200, "ResponseDeleted"), errors=(*_THREAD, "busy")),
    "responses.input_items": RouteSpec(
        (200, "ResponseItems"), query={"order": {"type": "string", "enum": ["asc", "desc"]}}, errors=_THREAD
    ),
    "completions.create": RouteSpec(
        (200, "Completion"), body="CompletionInput", headers=_KEY,
        errors=(*_OPENAI_ERRORS, "agent_timeout", "agent_failed", "model_unavailable", "run_interrupted"),
        or_text=EVENTS,
    ),
    "alerts.alert": RouteSpec(
        (202, "Alerted"), body="Alert", errors=("invalid_command", "message_too_large", *_STORED)
    ),
    "audit.listing": RouteSpec(
        (200, "Audit"),
        query={
            "user": TEXT, "tenant": TEXT, "action": {"type": "string", "enum": list(ACTIONS)}, "since": NUMBER,
            "until": NUMBER, "cursor": TEXT, "limit": {"type": "integer", "minimum": 1, "maximum": 500},
        },
        errors=("invalid_command", *_STORED),
    ),
    "stops.listing": RouteSpec((200, "Stops"), errors=("internal",)),
    "stops.stop": RouteSpec(
        (200, "Stop"), body="StopReason", errors=("invalid_command", "message_too_large", *_STORED)
    ),
    "stops.allow": RouteSpec((204, ""), errors=_THREAD),
    "memory.listing": RouteSpec((200, "Memory"), query={"cursor": TEXT}, errors=_STORED),
    "memory.change": RouteSpec(
        (200, "Remembered"), body="MemoryChange",
        errors=(*_THREAD, "changed_meanwhile", "content_blocked", "message_too_large", "quota_exceeded"),
    ),
    "memory.delete": RouteSpec((204, ""), query={"if_updated_at": NUMBER}, errors=(*_THREAD, "changed_meanwhile")),
    "memory.delete_notebook": RouteSpec((204, ""), errors=_STORED),
    "memory.delete_all": RouteSpec((204, ""), errors=_STORED),
    "account.me": RouteSpec((200, "Me"), errors=("internal",)),
    "account.export": RouteSpec(
        (200, "UserExport"), query=_EXPORT, errors=(*_THREAD, "busy"), or_text="text/markdown"
    ),
    "account.erase": RouteSpec(
        (200, "Erased"), body="Confirm",
        errors=("invalid_command", "message_too_large", "busy", "last_operator", *_STORED),
    ),
    "account.erase_user": RouteSpec(
        (200, "Erased"), query={"tenant": TEXT, "own": FLAG}, errors=(*_THREAD, "busy", "last_operator")
    ),
    "account.sign_out": RouteSpec((204, ""), errors=("busy", *_STORED)),
    "account.sign_out_user": RouteSpec(
        (204, ""), query={"tenant": TEXT, "own": FLAG}, errors=("invalid_command", "busy", *_STORED)
    ),
    "sanitize.sanitize": RouteSpec(
        (200, "Sanitized"), body="Sanitize",
        errors=("invalid_command", "message_too_large", "rate_limited", "busy", "internal"),
    ),
    "files.upload": RouteSpec(
        (201, "File"), body="Upload", media_type="multipart/form-data",
        errors=("invalid_file", "invalid_command", "file_too_large", "quota_exceeded", "content_blocked", *_STORED),
    ),
    "files.download": RouteSpec((200, "application/octet-stream"), errors=("not_found", "invalid_command", *_STORED)),
    "files.preview": RouteSpec((200, "FilePreview"), errors=("not_found", "busy", *_STORED)),
    "page.index": RouteSpec((200, "text/html"), token=False, errors=("not_found",)),
    "page.favicon": RouteSpec((200, "image/svg+xml"), token=False, errors=("not_found",)),
    "page.asset": RouteSpec((200, "*/*"), token=False, errors=("not_found",)),
    "page.worker": RouteSpec((200, "text/javascript"), token=False, errors=("not_found",)),
    "page.embed": RouteSpec((200, "text/html"), token=False, errors=("not_found",)),
    "page.diagram": RouteSpec((200, "text/html"), token=False, errors=("not_found",)),
    "page.join": RouteSpec((200, "text/html"), token=False, errors=("not_found",)),
    "page.admin": RouteSpec((200, "text/html"), token=False, errors=("not_found",)),
    "page.observer": RouteSpec((200, "text/html"), token=False, errors=("not_found",)),
    "observer.tree": RouteSpec(
        (200, "ObservedTree"),
        query={
            "path": TEXT,
            "text": TEXT,
            "state": {"type": "string", "enum": [state.value for state in State]},
            "levels": {"type": "integer", "minimum": 0, "maximum": 8},
            "limit": {"type": "integer", "minimum": 1, "maximum": 500},
            "offset": {"type": "integer", "minimum": 0, "maximum": 1_000_000},
        },
        errors=("invalid_command", "not_found", "rate_limited", "internal"),
    ),
    "observer.incidents": RouteSpec((200, "Incidents"), errors=("rate_limited", "internal")),
    "observer.counts": RouteSpec((200, "Counts"), query={"tenant": TEXT}, errors=("rate_limited", "internal")),
    "observer.changes": RouteSpec((200, "text/event-stream"), errors=("busy", "rate_limited", "internal")),
    "observer.kill": RouteSpec(
        (202, "Killed"), body="Kill",
        errors=("invalid_command", "message_too_large", "not_found", "rate_limited", *_STORED),
    ),
    "activity.runs": RouteSpec((200, "OperatorRuns"), query={"tenant": TEXT}, errors=_OPERATOR),
    "activity.run": RouteSpec((200, "OperatorRun"), errors=("not_found", *_OPERATOR)),
    "activity.stop": RouteSpec(
        (202, "RunStopped"), body="StopReason", errors=(*_THREAD, "content_blocked", "message_too_large")
    ),
    "takeovers.take_over": RouteSpec(
        (200, "TakenOver"), body="StopReason", errors=(*_TAKEN, "content_blocked")
    ),
    "takeovers.hand_back": RouteSpec((204, ""), errors=(*_THREAD, "forbidden", "run_ended")),
    "takeovers.one": RouteSpec((200, "TakenRun"), errors=(*_THREAD, "forbidden", "taken_over")),
    "takeovers.events": RouteSpec(
        (200, "RunEvents"),
        query={"after": _AFTER, "limit": {"type": "integer", "minimum": 1, "maximum": 1000}},
        errors=(*_THREAD, "forbidden", "taken_over"),
    ),
    "takeovers.command": RouteSpec((202, "RunStopped"), body="OperatorCommand", errors=(*_TAKEN, *_COMMAND_ERRORS)),
    "activity.connections": RouteSpec(
        (200, "OperatorConnections"),
        query={"user": TEXT, "limit": {"type": "integer", "minimum": 1, "maximum": 200}},
        errors=_OPERATOR,
    ),
    "activity.users": RouteSpec((200, "OperatorUsers"), query={"tenant": TEXT}, errors=_OPERATOR),
    "admin.users": RouteSpec(
        (200, "AdminUsers"), query={"tenant": TEXT, "cursor": TEXT, "limit": _TO_500}, errors=_OPERATOR
    ),
    "admin.spending": RouteSpec(
        (200, "AdminSpending"),
        query={"tenant": TEXT, "by": {"type": "string", "enum": list(BY)},
               "days": {"type": "integer", "minimum": 1, "maximum": KEPT_DAYS}},
        errors=_OPERATOR,
    ),
    "admin.schedules": RouteSpec((200, "AdminSchedules"), query={"tenant": TEXT}, errors=_OPERATOR),
    "admin.sign_ins": RouteSpec((200, "AdminSignIns"), query={"tenant": TEXT}, errors=_OPERATOR),
    "admin_accounts.listing": RouteSpec(
        (200, "AdminAccounts"), query={"cursor": TEXT}, errors=("invalid_command", "not_found", *_STORED)
    ),
    "admin_accounts.invite": RouteSpec((201, "JoinLink"), body="InviteUser", errors=_ACCOUNT),
    "admin_accounts.reset": RouteSpec((201, "JoinLink"), body="ResetAccount", errors=_ACCOUNT),
    "admin_accounts.change": RouteSpec((200, "Account"), body="ChangeAccount", errors=(*_ACCOUNT, "last_operator")),
    "admin.settings": RouteSpec((200, "AdminSettings"), errors=("rate_limited", "internal")),
    "admin.models": RouteSpec((200, "LocalModels"), errors=("rate_limited", "internal")),
    "admin.use_model": RouteSpec(
        (200, "ModelInUse"), body="LocalModelChoice",
        errors=("invalid_command", "message_too_large", "not_found", *_STORED),
    ),
    "activity.health": RouteSpec(
        (200, "OperatorHealth"), query={"minutes": {"type": "integer", "minimum": 1, "maximum": 60}}, errors=_OPERATOR
    ),
    "activity.find": RouteSpec(
        (200, "OperatorFound"), query={"text": {"type": "string", "minLength": 1, "maxLength": 200}}, errors=_OPERATOR
    ),
    "operations.healthz": RouteSpec((200, "Health"), token=False),
    "operations.readyz": RouteSpec((200, "Ready"), token=False),
    "operations.metrics": RouteSpec((200, "text/plain"), token=False),
    "references.openapi_json": RouteSpec((200, "Anything"), token=False),
    "references.asyncapi_json": RouteSpec((200, "Anything"), token=False),
}  # fmt: skip


def openapi(version: str, routes: Iterable[AppRoute], address: str = "http://127.0.0.1:8002") -> dict[str, Any]:
    """Build the document for a server with these routes, reached at this address.

    Raises KeyError for a route without an entry in ROUTES.
    """
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": OPENAPI,
        "info": {
            "title": "understudy",
            "version": version,
            "description": "What is done over plain HTTP. The sockets are described in /asyncapi.json.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": address}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(SCHEMAS),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "query": {"type": "apiKey", "in": "query", "name": "session_token"},
            },
        },
    }


def _operation(route: AppRoute) -> dict[str, Any]:
    spec = ROUTES[route.endpoint]
    operation: dict[str, Any] = {
        "operationId": route.endpoint,
        "summary": route.summary,
        "tags": [route.endpoint.partition(".")[0]],
        "responses": _responses(spec),
    }
    parameters = [_parameter(name, "path", TEXT) for name in re.findall(r"{(\w+)}", route.path)]
    parameters += [_parameter(name, "query", schema) for name, schema in spec.query.items() if name != "session_token"]
    parameters += [_parameter(name, "header", schema) for name, schema in spec.headers.items()]
    if parameters:
        operation["parameters"] = parameters
    if spec.body is not None:
        content = {spec.media_type: {"schema": {"$ref": f"#/components/schemas/{spec.body}"}}}
        operation["requestBody"] = {"required": True, "content": content}
    if spec.token:
        operation["security"] = [{"bearer": []}, *([{"query": []}] if "session_token" in spec.query else [])]
    return operation


def _parameter(name: str, where: str, schema: Schema) -> dict[str, Any]:
    return {"name": name, "in": where, "required": where == "path", "schema": schema}


def _responses(spec: RouteSpec) -> dict[str, Any]:
    status, shape = spec.answer
    content = _content(shape)
    if spec.or_text:
        content["content"][spec.or_text] = {"schema": TEXT}
    responses: dict[str, Any] = {str(status): {"description": "Done."} | content}
    if spec.answer == (200, "Ready"):
        responses["503"] = {"description": "Messages cannot be taken now."} | _content("Ready")
    told = shape if shape == "text/html" else "Anything"
    for other, text in spec.also.items():
        responses[str(other)] = {"description": text} | ({} if other < HTTPStatus.BAD_REQUEST else _content(told))
    errors: dict[int, list[str]] = {}
    # A page of another origin is refused everywhere, and so is a token that is missing or bad where one is needed.
    for code in dict.fromkeys(
        [*spec.errors, "forbidden", *(["unauthenticated", "token_expired"] if spec.token else [])]
    ):
        errors.setdefault(ERRORS[code].http_status, []).append(code)
    for error_status, codes in sorted(errors.items()):
        responses[str(error_status)] = {"description": ", ".join(f"`{code}`" for code in codes)} | _content("Error")
    return responses


def _content(shape: str) -> dict[str, Any]:
    if not shape:
        return {}
    if "/" in shape:
        # What one event holds is spec by AsyncAPI; readers of OpenAPI 3.1 do not agree on what a schema here is about.
        text = shape.startswith("text/") and shape != "text/event-stream"
        return {"content": {shape: {"schema": TEXT if text else {}}}}
    return {"content": {JSON: {"schema": {"$ref": f"#/components/schemas/{shape}"}}}}
