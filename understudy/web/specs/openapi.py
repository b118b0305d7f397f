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
from transport.wire.dialects import Dialect
from transport.wire.events import Usage
from understudy.chat.commands import Accepted
from understudy.chat.file_preview import FilePreview
from understudy.content.tags import MOST_TAGS
from understudy.extensions.schedules.due import POLICIES
from understudy.extensions.schedules.routes import ScheduleRequest
from understudy.extensions.schedules.storage import ScheduleRow
from understudy.observe.actor_events import Incident
from understudy.privacy.export import FORMS
from understudy.privacy.records import FORMAT, VERSION
from understudy.storage.archive_queries import StoredMemory
from understudy.storage.audit import actions
from understudy.storage.consents import Consent
from understudy.storage.operator_queries import BY, FoundRun, SignInRow, UserRow
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
from understudy.web.api.runs import StartRequest
from understudy.web.api.sanitize import SanitizeRequest
from understudy.web.api.servers import PromptRequest, SwitchRequest
from understudy.web.api.shares import ShareRequest
from understudy.web.api.sign_ins import SignInRequest
from understudy.web.api.takeovers import Reason
from understudy.web.api.threads import ThreadRequest
from understudy.web.api.widgets import CallRequest
from understudy.web.specs.inbox import INBOX, MARKED
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
    form_schema,
    members_of,
    object_of,
    one_of,
    or_null,
    record,
    response_form_schema,
    schema_of,
    schema_of_fields,
    shown,
)  # fmt: skip
from understudy.web.sse import CONNECTIONLESS

OVER_HTTP: Final = tuple(name for name, kind in COMMANDS.items() if kind in CONNECTIONLESS)
"""Types of the commands that `POST /api/commands` accepts."""
FILLED: Final[Schema] = {"type": "string", "minLength": 1}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _docs(url: str) -> Schema:
    return {"externalDocs": {"url": url}}


def _to(most: int) -> Schema:
    return {"type": "integer", "minimum": 1, "maximum": most}


def _owned(kind: type[Any], owner: str = "owner", **more: Schema) -> Schema:
    """Describe a row with the user and the tenant in place of the key of the user's data."""
    properties = schema_of_fields(kind)["properties"]
    named = {name: each for name, each in properties.items() if name != owner}
    return record(**{"user": TEXT, "tenant": or_null(TEXT)} | named | more)


def _stale(schema: Schema) -> Schema:
    """Add the mark of a cached read."""
    return schema | {"properties": schema["properties"] | {"stale": {"const": True}}}


LISTED_RUN: Final[Mapping[str, Schema]] = {
    "run_id": TEXT, "thread_id": TEXT, "message_id": TEXT, "status": one_of([*UNFINISHED, *ENDED]), "agent": TEXT,
    "agent_type": TEXT, "pillar": or_null(TEXT), "started_at": NUMBER, "ended_at": or_null(NUMBER),
    "continues": or_null(TEXT), "restarts": COUNT,
}  # fmt: skip
RUN_STATE: Final[Mapping[str, Schema]] = {
    **LISTED_RUN, "usage": schema_of_fields(Usage), "steps": record(turns=COUNT, calls=COUNT, worked_s=NUMBER),
    "budget_left": or_null(OBJECT), "budget": or_null(OBJECT), "waits_for": array_of(OBJECT), "attempts": COUNT,
    "error": or_null(OBJECT), "ended_by": or_null(OBJECT),
}  # fmt: skip
SCHEDULED: Final[Mapping[str, Schema]] = {
    **members_of(ScheduleRequest), "message": FILLED, "every_s": or_null(COUNT), "policy": one_of(POLICIES),
}  # fmt: skip
FIRED: Final = {"due_at": NUMBER} | {name: or_null(TEXT) for name in ("thread_id", "run_id", "code", "message")}
MODEL: Final = record(name=TEXT, notice=or_null(TEXT))
AGENT: Final = record(
    name=TEXT, agent_type=TEXT, pillar=or_null(TEXT), title=TEXT, description=TEXT, tools=array_of(TEXT),
    starters=array_of(record(text=TEXT, tool=TEXT, arguments=OBJECT)),
    translations={"type": "object", "additionalProperties": OBJECT}, continues=FLAG, servers=array_of(TEXT),
    output=or_null(OBJECT), model=MODEL,
)  # fmt: skip
SHARE: Final = {"share_id": TEXT, "created_at": NUMBER, "expires_at": NUMBER}
SHARED_MESSAGE: Final = {
    "role": TEXT, "agent": TEXT, "content": TEXT, "status": TEXT, "created_at": NUMBER,
    "visualization": or_null({"type": "object"}), "files": array_of({"type": "object"}),
}  # fmt: skip
FILE: Final = record(
    "findings", id=TEXT, name=TEXT, media_type=TEXT, size=COUNT,
    findings=array_of(record(category=TEXT, kind=TEXT, action=TEXT, count=COUNT)),
)  # fmt: skip
MATCH: Final = record(message_id=TEXT, role=TEXT, snippet=array_of(record(text=TEXT, hit=FLAG)))
TAGS: Final = array_of(TEXT) | {"maxItems": MOST_TAGS}
_THREAD_FIELDS: Final = schema_of_fields(Thread, ("owner", "node", "fence", "pinned_at", "archived_at", "tags"))
THREAD: Final = record(
    "match", **_THREAD_FIELDS["properties"] | {"pinned": FLAG, "archived": FLAG, "tags": TAGS, "match": or_null(MATCH)},
)  # fmt: skip
AUDIT_ENTRY: Final = record(
    number=COUNT, at=NUMBER, user=TEXT, user_tenant=or_null(TEXT), role=or_null(TEXT), way=TEXT,
    action=one_of(actions()), target=or_null(TEXT), tenant=or_null(TEXT), detail=OBJECT,
)  # fmt: skip
STOP: Final = record(kind=one_of(KINDS), name=TEXT, who=TEXT, reason=TEXT, at=NUMBER, known=FLAG)
COUNTS: Final[Schema] = {"type": "object", "additionalProperties": COUNT}
MESSAGE: Final[dict[str, Schema]] = {
    **schema_of_fields(Message, ("owner", "rating", "note"))["properties"],
    "feedback": or_null(record(rating=or_null(TEXT), note=or_null(TEXT))),
    "runs": array_of(record("continues", "restarts", run_id=TEXT, status=TEXT, continues=TEXT, restarts=COUNT)),
}  # fmt: skip
TURN_MESSAGE: Final = {name: schema for name, schema in MESSAGE.items() if name != "runs"}
TURN: Final = record(
    message=record(**TURN_MESSAGE),
    run=record(
        "continues", "restarts", run_id=TEXT, status=TEXT, started_at=NUMBER, ended_at=or_null(NUMBER), continues=TEXT,
        restarts=COUNT,
    ),
    first_seq=or_null(COUNT), again=FLAG, answer=or_null(record(**TURN_MESSAGE)), events=array_of(OBJECT),
    earlier=array_of(record(run_id=TEXT, events=array_of(OBJECT))),
)  # fmt: skip
OTHER_TURN: Final = record(
    message_id=TEXT, parent_id=or_null(TEXT), run_id=TEXT, status=TEXT, first_seq=or_null(COUNT), again=FLAG,
)  # fmt: skip
EXPORT_HEAD: Final[dict[str, Schema]] = {
    "format": {"type": "string", "const": FORMAT}, "version": {"type": "integer", "const": VERSION},
    "exported_at": NUMBER,
}  # fmt: skip
PASSKEY: Final = record(id=TEXT, name=TEXT, created_at=NUMBER, used_at=or_null(NUMBER))
EXPORTED_ACCOUNT: Final = record(
    roles=array_of(TEXT), groups=array_of(TEXT), created_at=NUMBER, disabled_at=or_null(NUMBER), password=FLAG,
    passkeys=array_of(PASSKEY), invited_until=or_null(NUMBER),
)  # fmt: skip
RUN: Final = record(
    "continues", "restarts", run_id=TEXT, status=TEXT, continues=TEXT, restarts=COUNT, agent_type=TEXT,
    pillar=or_null(TEXT), conversation_id=or_null(TEXT), started_at=NUMBER, ended_at=or_null(NUMBER),
    steps=array_of(schema_of_fields(StepRecord, ("run_id",))),
)  # fmt: skip
NEWEST: Final = or_null(record(message_id=TEXT, run_id=TEXT))
EXPORTED_THREAD: Final[dict[str, Schema]] = {
    "thread": _ref("Thread"), "newest": NEWEST, "messages": array_of(record(**MESSAGE | {"runs": array_of(RUN)})),
    "files": array_of(schema_of_fields(File, ("owner",))), "consents": array_of(schema_of_fields(Consent)),
    "events": array_of(_ref("Event")),
}  # fmt: skip

OPENAI: Final = _docs("https://platform.openai.com/docs/api-reference")

SCHEMAS: Final[Mapping[str, Schema]] = {
    "Error": record(error=record("error_id", code=one_of(ERRORS), message=TEXT, retryable=FLAG, error_id=TEXT)),
    "ResponseInput": record(
        "instructions", "stream", "background", "store", "previous_response_id", "conversation", "metadata", "tools",
        model=TEXT, input={"anyOf": [TEXT, array_of(OBJECT)]}, instructions=or_null(TEXT), stream=or_null(FLAG),
        background=or_null(FLAG), store=or_null(FLAG), previous_response_id=or_null(TEXT),
        conversation=or_null({"anyOf": [TEXT, OBJECT]}), metadata=or_null(OBJECT), tools=or_null(array_of(OBJECT)),
    ) | OPENAI,
    "Response": record(
        "usage", "error", id=TEXT, object={"const": "response"}, created_at=WHOLE,
        status=one_of(["in_progress", "completed", "incomplete", "cancelled", "failed"]), model=TEXT,
        output=array_of(record(id=TEXT, type=TEXT)), usage=or_null(OBJECT), error=or_null(OBJECT),
    ) | OPENAI,
    "ResponseDeleted": record(id=TEXT, object=TEXT, deleted=FLAG),
    "ResponseItems": record(object={"const": "list"}, data=array_of(OBJECT), has_more=FLAG),
    "CompletionInput": record(
        "stream", "tools", model=TEXT, messages=array_of(record(role=TEXT), minItems=1), stream=or_null(FLAG),
        tools=or_null(array_of(OBJECT)),
    ) | OPENAI,
    "Completion": record(id=TEXT, choices=array_of(OBJECT)) | OPENAI,
    "ModelCard": record(id=TEXT, object={"const": "model"}, created=WHOLE, owned_by=TEXT),
    "ModelCards": record(object={"const": "list"}, data=array_of(_ref("ModelCard"))),
    "Session": record("anonymous", session_token=TEXT, user=TEXT, session=TEXT, anonymous=FLAG, expires_at=WHOLE),
    "Me": record(
        user=TEXT, name=TEXT, anonymous=FLAG, session=TEXT, tenant=or_null(TEXT), roles=array_of(TEXT),
        groups=array_of(TEXT), expires_at=WHOLE,
    ),
    "Agents": record(
        agents=array_of(AGENT), share_links=FLAG,
        model=record(name=TEXT, notice=or_null(TEXT), currency=TEXT, costs=FLAG, voice=FLAG),
    ),
    "Tools": record(tools=array_of(record(name=TEXT, description=TEXT, repeatable=FLAG, parameters=OBJECT))),
    "Thread": _stale(THREAD),
    "Consents": record(consents=array_of(schema_of_fields(Consent))),
    "Schedule": record(
        id=TEXT, **SCHEDULED, created_at=NUMBER, next_due_at=or_null(NUMBER), last=or_null(record(**FIRED)),
    ),
    "ShareRequest": body_of(ShareRequest),
    "Share": record(**SHARE),
    "NewShare": record(**SHARE, path=TEXT),
    "Shares": record(shares=array_of(_ref("Share"))),
    "SharedPage": record(
        title=TEXT, created_at=NUMBER, expires_at=NUMBER, messages=array_of(record(**SHARED_MESSAGE)),
        older=or_null(COUNT),
    ),
    "Inbox": INBOX,
    "ReadMarks": body_of(ReadRequest, threads=MARKED),
    "Extensions": record(extensions=array_of(TEXT)),
    "AuditActions": record(actions=array_of(TEXT)),
    "Schedules": record(schedules=array_of(_ref("Schedule"))),
    "NewSchedule": body_of(ScheduleRequest, **SCHEDULED),
    "ScheduleChange": object_of(SCHEDULED, []),
    "Threads": _stale(record(threads=array_of(_ref("Thread")), next_cursor=or_null(TEXT))),
    "Tags": record(tags=array_of(record(tag=TEXT, threads=COUNT))),
    "Message": record(**MESSAGE),
    "Messages": _stale(record(messages=array_of(_ref("Message")), newest=NEWEST, next_cursor=or_null(TEXT))),
    "Turns": _stale(record(
        title=TEXT, seq=COUNT, turns=array_of(TURN), others=array_of(OTHER_TURN), tip=or_null(TEXT),
        older=or_null(TEXT),
    )),
    "Export": record("events", **EXPORT_HEAD, **EXPORTED_THREAD),
    "UserExport": record(
        **EXPORT_HEAD, user=TEXT, tenant=or_null(TEXT), created_at=NUMBER, account=or_null(EXPORTED_ACCOUNT),
        files=array_of(schema_of_fields(File, ("owner",))), contexts=array_of(schema_of_fields(StoredMemory)),
        threads=array_of(record("events", **EXPORTED_THREAD)),
    ),
    "Confirm": body_of(EraseRequest),
    "Erased": record(threads=COUNT, files=COUNT),
    "Event": {"anyOf": list(shown(Dialect.CANONICAL).values())},
    "Events": _stale(record(events=array_of(_ref("Event")), last_seq=COUNT)),
    "Command": {"anyOf": [*(form_schema(name) for name in OVER_HTTP), response_form_schema()]},
    "Accepted": object_of(schema_of_fields(Accepted)["properties"]),
    "File": FILE,
    "Widget": record(html=TEXT, frame=TEXT, tool=OBJECT, arguments=OBJECT, result={}),
    "WidgetCall": body_of(CallRequest),
    "WidgetRun": record(message_id=TEXT, run_id=TEXT),
    "FilePreview": record("findings", **FILE["properties"] | schema_of_fields(FilePreview)["properties"]),
    "Upload": record(file={"type": "string", "contentMediaType": "application/octet-stream"}),
    "Runs": record(runs=array_of(_ref("ListedRun")), next_cursor=or_null(TEXT)),
    "ListedRun": record(**LISTED_RUN),
    "RunState": record(**RUN_STATE),
    "RunEvents": record(events=array_of(OBJECT), more=FLAG, status=TEXT),
    "StartRun": body_of(StartRequest),
    "Cancelled": record(run_id=TEXT),
    "Memory": record(
        memory=array_of(_ref("Remembered")), notebooks={"type": "object", "additionalProperties": array_of(TEXT)},
        next_cursor=or_null(TEXT),
    ),
    "Remembered": record(notebook=TEXT, name=TEXT, value={}, updated_at=NUMBER, expires_at=NUMBER),
    "MemoryChange": body_of(MemoryChange),
    "ThreadChange": body_of(ThreadRequest, title=FILLED, tags=TAGS),
    "Switch": body_of(SwitchRequest),
    "SignIn": body_of(SignInRequest),
    "SignInStarted": record(url=or_null(TEXT)),
    "SignInAt": record(sign_in=or_null(record(title=TEXT, url=TEXT)), password=FLAG),
    "Password": body_of(PasswordRequest),
    "NewPassword": body_of(ChangePasswordRequest),
    "PasskeySignIn": body_of(PasskeySignInRequest),
    "PasskeyJoin": body_of(PasskeyJoinRequest),
    "NewPasskey": body_of(PasskeyRequest),
    "Passkey": PASSKEY,
    "Passkeys": record(password=FLAG, passkeys=array_of(PASSKEY)),
    "Invite": body_of(InviteRequest),
    "Invited": record(user=TEXT),
    "Join": body_of(JoinRequest),
    "SignOut": body_of(SignOutRequest),
    "SignedOut": record(url=or_null(TEXT)),
    "Server": record(
        name=TEXT, title=TEXT, state=schema_of(LinkState), on=FLAG, auth=or_null(TEXT), agents=array_of(TEXT),
        tools=array_of(record(name=TEXT, description=TEXT, approval=FLAG)),
        left_out=array_of(record(name=TEXT, why=TEXT)),
    ),
    "Servers": record(servers=array_of(_ref("Server"))),
    "Prompts": record(prompts=array_of(_ref("Prompt"))),
    "Prompt": record(
        server=TEXT, name=TEXT, title=TEXT, description=TEXT,
        arguments=array_of(record(name=TEXT, description=TEXT, required=FLAG)),
    ),
    "PromptRequest": body_of(PromptRequest),
    "PromptText": record(messages=array_of(record(role=TEXT, text=TEXT)), text=TEXT),
    "Alert": body_of(AlertRequest, message=FILLED),
    "Audit": record(entries=array_of(AUDIT_ENTRY), next_cursor=or_null(TEXT)),
    "Stops": record(stops=array_of(STOP)),
    "Stop": STOP,
    "RunStopped": record(run_id=TEXT),
    "TakenOver": record(by=TEXT, reason=or_null(TEXT), at=NUMBER),
    "TakenRun": record(**RUN_STATE, taken_over=_ref("TakenOver")),
    "OperatorCommand": record(type=one_of(["steer", "approve", "answer"])),
    "StopReason": body_of(Reason),
    "Alerted": record(connections=COUNT),
    "Observed": record(
        path=TEXT, type=TEXT, state=schema_of(State), incarnation=COUNT, restarts=COUNT, age_s=NUMBER, depth=COUNTS,
        child_count=COUNT, resting_below=COUNT, children=array_of(_ref("Observed")),
    ),
    "ObservedTree": record(tree=_ref("Observed"), found=or_null(COUNT), more=FLAG),
    "Incidents": record(incidents=array_of(schema_of_fields(Incident)), counts=COUNTS),
    "OperatorRuns": record(open=array_of(OBJECT), ended=array_of(OBJECT), currency=TEXT, node=or_null(TEXT)),
    "OperatorRun": OBJECT,
    "OperatorConnections": record(connections=array_of(OBJECT), total=COUNT),
    "OperatorUsers": record(users=array_of(OBJECT), total=COUNT, currency=TEXT),
    "OperatorHealth": record(health=OBJECT, pools=OBJECT, activity=OBJECT),
    "AdminOverview": record(
        users=COUNT, open_runs=COUNT, database_bytes=or_null(COUNT), connections=COUNT, outcomes=COUNTS,
        failed=array_of(OBJECT),
    ),
    "AdminUserRuns": record(runs=array_of(_owned(FoundRun))),
    "AdminUsers": record(users=array_of(_owned(UserRow, "id", connections=COUNT)), next_cursor=or_null(TEXT)),
    "AdminSpending": record(spending=array_of(OBJECT), since=TEXT, until=TEXT, currency=TEXT),
    "AdminSchedules": record(schedules=array_of(_owned(ScheduleRow))),
    "AdminSignIns": record(sign_ins=array_of(_owned(SignInRow))),
    "Account": record(
        name=TEXT, state=one_of(["active", "disabled", "invited", "expired"]), roles=array_of(TEXT),
        groups=array_of(TEXT), created_at=NUMBER,
    ),
    "AdminAccounts": record(accounts=array_of(_ref("Account")), next_cursor=or_null(TEXT)),
    "InviteUser": body_of(InviteUser),
    "ResetAccount": body_of(ResetAccount),
    "ChangeAccount": body_of(ChangeAccount),
    "JoinLink": record(name=TEXT, path=TEXT, expires_at=NUMBER),
    "AdminSettings": record(settings=array_of(record(name=TEXT, value={}, secret=FLAG, is_set=FLAG, source=TEXT))),
    "LocalModels": record(in_use=TEXT, offered=array_of(record(server=TEXT, port=WHOLE, model=TEXT))),
    "LocalModelChoice": body_of(UseModel),
    "ModelInUse": record(in_use=TEXT),
    "OperatorFound": record(**{name: array_of(OBJECT) for name in ("users", "threads", "runs", "incidents")}),
    "Kill": body_of(KillRequest),
    "Counts": record(connections=COUNT, runs=COUNT, runs_waiting=COUNT),
    "Killed": record(path=TEXT),
    "Health": record(
        status=TEXT, checks={"type": "object", "additionalProperties": record(status=TEXT)}, version=TEXT,
        uptime_s=NUMBER, actors=COUNT, restarts=COUNT, dead_letters=COUNT, memory_mb=NUMBER, connections=COUNT,
        runs=COUNT, runs_waiting=COUNT,
    ),
    "Ready": record(status=TEXT, storage=TEXT),
    "RunAgentInput": record(
        "protocolVersion", "state", "context", "forwardedProps", "resume", threadId=TEXT, runId=TEXT,
        protocolVersion=TEXT, messages=array_of(record(id=TEXT, role=TEXT)), state={},
        context=array_of(record(description=TEXT, value=TEXT)), forwardedProps={},
        resume=array_of(record("payload", interruptId=TEXT, status=one_of(["resolved", "cancelled"]), payload=OBJECT)),
    ) | _docs("https://docs.ag-ui.com/sdk/js/core/types#runagentinput"),
    "AgentCapabilities": object_of(
        {},
    ) | _docs("https://docs.ag-ui.com/concepts/capabilities#the-agentcapabilities-interface"),
    "Sanitize": body_of(SanitizeRequest, direction=schema_of(Direction), policy=one_of(PRESETS)),
    "Sanitized": record(
        text=TEXT, changed=FLAG, blocked=FLAG, counts=COUNTS, kinds=COUNTS,
        findings=array_of(record(
            kind=TEXT, category=schema_of(Category), action=schema_of(Action), start=COUNT, end=COUNT,
            start_utf16=COUNT, end_utf16=COUNT, score=NUMBER, replacement=or_null(TEXT), detector=TEXT,
            reasons=array_of(TEXT),
        )),
        omitted=COUNT, failed=array_of(TEXT),
    ),
    "Anything": OBJECT,
}  # fmt: skip
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

    With a body of a schema of this server they include those of `_BODY`.

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

    @property
    def refusals(self) -> Sequence[str]:
        """All codes, each once."""
        read = self.errors and self.body not in (None, "Anything") and self.media_type == JSON
        return tuple(dict.fromkeys((*(_BODY if read else ()), *self.errors)))


_BODY: Final = ("invalid_command", "message_too_large")
_PAGE: Final = {"cursor": TEXT, "limit": _to(200)}
_KEY: Final = {"Idempotency-Key": TEXT}
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
_SCHEDULE_ERRORS: Final = (
    "invalid_command", "empty_message", "unknown_agent_type", "unknown_pillar", "content_blocked",
    "forbidden", "message_too_large", "not_found", "rate_limited", "busy", "quota_exceeded", *_STORED,
)  # fmt: skip
_EXPORT: Final = {"format": one_of(FORMS), "events": TEXT}
_ACCOUNT: Final = ("invalid_command", "message_too_large", "not_found", "busy", *_STORED)
_OPERATOR: Final = ("invalid_command", "rate_limited", "storage_unavailable", "internal")
ROUTES: Final[Mapping[str, RouteSpec]] = {
    "sessions.create": RouteSpec(
        (201, "Session"), token=False, errors=("unauthenticated", "token_expired", "rate_limited", "busy", *_STORED),
    ),
    "openid.told": RouteSpec((200, "SignInAt"), token=False),
    "accounts.sign_in": RouteSpec(
        (201, "Session"), body="Password", token=False,
        errors=("unauthenticated", "token_expired", "not_found", "rate_limited", "busy", *_STORED),
    ),
    "accounts.change_password": RouteSpec(
        (200, "Session"), body="NewPassword",
        errors=("token_expired", "forbidden", "not_found", "rate_limited", "busy", *_STORED),
    ),
    "accounts.invited": RouteSpec((200, "Invited"), body="Invite", token=False, errors=("not_found", *_STORED)),
    "accounts.join": RouteSpec(
        (201, "Session"), body="Join", token=False, errors=("token_expired", "not_found", "busy", *_STORED),
    ),
    "passkeys.begin_sign_in": RouteSpec(
        (200, "Anything"), token=False, errors=("invalid_command", "not_found", "rate_limited", *_STORED),
    ),
    "passkeys.sign_in": RouteSpec(
        (201, "Session"), body="PasskeySignIn", token=False,
        errors=("unauthenticated", "token_expired", "forbidden", "not_found", *_STORED),
    ),
    "passkeys.begin_join": RouteSpec(
        (200, "Anything"), body="Invite", token=False, errors=("not_found", "rate_limited", *_STORED),
    ),
    "passkeys.join": RouteSpec(
        (201, "Session"), body="PasskeyJoin", token=False, errors=("token_expired", "forbidden", "not_found", *_STORED),
    ),
    "passkeys.listing": RouteSpec((200, "Passkeys"), errors=("forbidden", "not_found", *_STORED)),
    "passkeys.begin_add": RouteSpec(
        (200, "Anything"),
        errors=("invalid_command", "forbidden", "not_found", "rate_limited", "quota_exceeded", *_STORED),
    ),
    "passkeys.add": RouteSpec(
        (201, "Passkey"), body="NewPasskey", errors=("forbidden", "not_found", "quota_exceeded", *_STORED),
    ),
    "passkeys.remove": RouteSpec((204, ""), errors=("forbidden", "not_found", *_STORED)),
    "openid.sign_in": RouteSpec(
        (303, "text/html"), query={"next": TEXT}, token=False,
        also={400: "`next` is no path of this server.", 404: "Users need a token.", 503: "The provider is away."},
    ),
    "openid.callback": RouteSpec(
        (303, "text/html"), query={"state": TEXT, "code": TEXT, "iss": TEXT, "error": TEXT}, token=False,
        also={400: "It is no answer.", 403: "It cannot be trusted.", 404: "It has expired.", 503: "A server is away."},
    ),
    "openid.sign_out": RouteSpec((200, "SignedOut"), body="SignOut", errors=("busy", *_STORED)),
    "openid.back_channel_logout": RouteSpec(
        (200, "Anything"), token=False, also={400: "It is no logout token of the provider."},
        errors=("not_found", "message_too_large", "busy", *_STORED),
    ),
    "sessions.refresh": RouteSpec((200, "Session"), errors=("busy", *_STORED)),
    "sessions.end": RouteSpec((204, ""), errors=("busy", *_STORED)),
    "agents.agents": RouteSpec((200, "Agents"), errors=("internal",)),
    "agents.tools": RouteSpec((200, "Tools"), errors=("internal",)),
    "threads.listing": RouteSpec(
        (200, "Threads"), query={"query": TEXT, "tag": TAGS, "which": one_of(get_args(Which)), **_PAGE},
        errors=("invalid_command", *_STORED),
    ),
    "tags.listing": RouteSpec((200, "Tags"), errors=_STORED),
    "runs.listing": RouteSpec(
        (200, "Runs"), query={"status": one_of([*UNFINISHED, *ENDED]), "agent": TEXT, "thread": TEXT, **_PAGE},
        errors=("invalid_command", *_STORED),
    ),
    "runs.start": RouteSpec((202, "Accepted"), body="StartRun", headers=_KEY, errors=_COMMAND_ERRORS),
    "runs.one": RouteSpec((200, "RunState"), errors=_THREAD),
    "runs.events": RouteSpec((200, "RunEvents"), query={"after": COUNT, "limit": _to(1000)}, errors=_THREAD),
    "runs.cancel": RouteSpec((202, "Cancelled"), errors=(*_THREAD, "rate_limited")),
    "inbox.listing": RouteSpec((200, "Inbox"), errors=_STORED),
    "inbox.read": RouteSpec((204, ""), body="ReadMarks", errors=_STORED),
    "extensions.listing": RouteSpec((200, "Extensions")),
    "audit.names": RouteSpec((200, "AuditActions"), errors=_OPERATOR),
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
    "shares.make": RouteSpec((201, "NewShare"), body="ShareRequest", errors=(*_THREAD, "forbidden", "quota_exceeded")),
    "shares.listing": RouteSpec((200, "Shares"), errors=_THREAD),
    "shares.revoke": RouteSpec((204, ""), errors=_THREAD),
    "shares.read": RouteSpec((200, "SharedPage"), query={"skip": COUNT}, token=False, errors=_THREAD),
    "shares.shared_file": RouteSpec(
        (200, "application/octet-stream"), query={"skip": COUNT}, token=False, errors=_THREAD,
    ),
    "shares.shared_preview": RouteSpec((200, "FilePreview"), query={"skip": COUNT}, token=False, errors=_THREAD),
    "page.shared": RouteSpec(
        (200, "text/html"), token=False, also={404: "There is no such link any more.", 503: "The database is away."},
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
        (200, "PromptText"), body="PromptRequest",
        errors=(*_THREAD, "invalid_arguments", "forbidden", "content_blocked", "file_too_large", "busy"),
    ),
    "sign_ins.start": RouteSpec(
        (200, "SignInStarted"), body="SignIn", errors=("not_found", "forbidden", "busy", "rate_limited", *_STORED),
    ),
    "sign_ins.end": RouteSpec((204, ""), errors=("not_found", "rate_limited", *_STORED)),
    "sign_ins.client_document": RouteSpec((200, "Anything"), token=False, errors=("not_found",)),
    "sign_ins.callback": RouteSpec(
        (200, "text/html"), query={"state": TEXT, "code": TEXT, "iss": TEXT, "error": TEXT}, token=False,
        also={303: "Signed in: back to the page.", 404: "It has expired.", 503: "A server does not answer."},
    ),
    "threads.messages": RouteSpec((200, "Messages"), query=_PAGE, errors=_THREAD),
    "turns.page": RouteSpec((200, "Turns"), query={"before": TEXT, "through": TEXT, "limit": _to(50)}, errors=_THREAD),
    "threads.export": RouteSpec((200, "Export"), query=_EXPORT, errors=(*_THREAD, "busy"), or_text="text/markdown"),
    "threads.events": RouteSpec((200, "Events"), query={"after": COUNT, "limit": _to(1000)}, errors=_THREAD),
    "stream.stream": RouteSpec(
        (200, "text/event-stream"), query={"after": COUNT, "dialect": schema_of(Dialect), "session_token": TEXT},
        headers={"Last-Event-ID": TEXT}, errors=(*_THREAD, "rate_limited", "busy"),
    ),
    "commands.command": RouteSpec((202, "Accepted"), body="Command", errors=_COMMAND_ERRORS),
    "a2a.card": RouteSpec((200, "Anything"), token=False, errors=("internal",)),
    "a2a.agent_card": RouteSpec((200, "Anything"), token=False, errors=("not_found", "internal")),
    "a2a.call": RouteSpec((200, "Anything"), body="Anything", errors=("message_too_large", "rate_limited", "internal")),
    "ui.chat": RouteSpec((200, "text/event-stream"), body="Anything", query={"agent": TEXT}, headers=_KEY),
    "ui.resume": RouteSpec((200, "text/event-stream"), errors=("busy", *_STORED), also={204: "No run is at work."}),
    "mcp.metadata": RouteSpec((200, "Anything"), token=False, errors=("internal",)),
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
        (200, "Response"), body="ResponseInput", headers=_KEY, errors=_OPENAI_ERRORS, or_text=EVENTS,
    ),
    "responses.one": RouteSpec(
        (200, "Response"), query={"stream": FLAG, "starting_after": COUNT}, errors=(*_THREAD, "rate_limited", "busy"),
        or_text=EVENTS,
    ),
    "responses.cancel": RouteSpec((200, "Response"), errors=(*_THREAD, "rate_limited", "busy")),
    "responses.delete": RouteSpec((200, "ResponseDeleted"), errors=(*_THREAD, "busy")),
    "responses.input_items": RouteSpec(
        (200, "ResponseItems"), query={"order": one_of(["asc", "desc"])}, errors=_THREAD,
    ),
    "completions.create": RouteSpec(
        (200, "Completion"), body="CompletionInput", headers=_KEY,
        errors=(*_OPENAI_ERRORS, "agent_timeout", "agent_failed", "model_unavailable", "run_interrupted"),
        or_text=EVENTS,
    ),
    "alerts.alert": RouteSpec((202, "Alerted"), body="Alert", errors=(*_STORED, "content_blocked")),
    "audit.listing": RouteSpec(
        (200, "Audit"),
        query={
            "user": TEXT, "tenant": TEXT, "action": one_of(actions()), "since": NUMBER, "until": NUMBER, "cursor": TEXT,
            "limit": _to(500),
        },
        errors=("invalid_command", *_STORED),
    ),
    "stops.listing": RouteSpec((200, "Stops"), errors=("internal",)),
    "stops.stop": RouteSpec((200, "Stop"), body="StopReason", errors=(*_STORED, "content_blocked")),
    "stops.allow": RouteSpec((204, ""), errors=_THREAD),
    "memory.listing": RouteSpec((200, "Memory"), query={"cursor": TEXT}, errors=_STORED),
    "memory.change": RouteSpec(
        (200, "Remembered"), body="MemoryChange",
        errors=(*_THREAD, "changed_meanwhile", "content_blocked", "quota_exceeded"),
    ),
    "memory.delete": RouteSpec((204, ""), query={"if_updated_at": NUMBER}, errors=(*_THREAD, "changed_meanwhile")),
    "memory.delete_notebook": RouteSpec((204, ""), errors=_STORED),
    "memory.delete_all": RouteSpec((204, ""), errors=_STORED),
    "account.me": RouteSpec((200, "Me"), errors=("internal",)),
    "account.export": RouteSpec((200, "UserExport"), query=_EXPORT, errors=(*_THREAD, "busy"), or_text="text/markdown"),
    "account.erase": RouteSpec((200, "Erased"), body="Confirm", errors=("busy", "last_operator", *_STORED)),
    "account.erase_user": RouteSpec(
        (200, "Erased"), query={"tenant": TEXT, "own": FLAG}, errors=(*_THREAD, "busy", "last_operator"),
    ),
    "account.sign_out": RouteSpec((204, ""), errors=("busy", *_STORED)),
    "account.sign_out_user": RouteSpec(
        (204, ""), query={"tenant": TEXT, "own": FLAG}, errors=("invalid_command", "busy", *_STORED),
    ),
    "sanitize.sanitize": RouteSpec((200, "Sanitized"), body="Sanitize", errors=("rate_limited", "busy", "internal")),
    "files.upload": RouteSpec(
        (201, "File"), body="Upload", media_type="multipart/form-data",
        errors=("invalid_file", "invalid_command", "file_too_large", "quota_exceeded", "content_blocked", *_STORED),
    ),
    "files.download": RouteSpec((200, "application/octet-stream"), errors=_THREAD),
    "files.preview": RouteSpec((200, "FilePreview"), errors=("not_found", "busy", *_STORED)),
    **dict.fromkeys(
        ("page.index", "page.embed", "page.diagram", "page.join", "page.admin", "page.observer"),
        RouteSpec((200, "text/html"), token=False, errors=("not_found",)),
    ),
    **dict.fromkeys(
        ("page.worker", "page.chart_worker"), RouteSpec((200, "text/javascript"), token=False, errors=("not_found",)),
    ),
    "page.favicon": RouteSpec((200, "image/svg+xml"), token=False, errors=("not_found",)),
    "page.asset": RouteSpec((200, "*/*"), token=False, errors=("not_found",)),
    "observer.tree": RouteSpec(
        (200, "ObservedTree"),
        query={
            "path": TEXT, "text": TEXT, "state": schema_of(State),
            "levels": {"type": "integer", "minimum": 0, "maximum": 8}, "limit": _to(500),
            "offset": {"type": "integer", "minimum": 0, "maximum": 1_000_000},
        },
        errors=("invalid_command", "not_found", "rate_limited", "internal"),
    ),
    "observer.incidents": RouteSpec((200, "Incidents"), errors=("rate_limited", "internal")),
    "observer.counts": RouteSpec((200, "Counts"), query={"tenant": TEXT}, errors=("rate_limited", "internal")),
    "observer.changes": RouteSpec((200, "text/event-stream"), errors=("busy", "rate_limited", "internal")),
    "observer.kill": RouteSpec((202, "Killed"), body="Kill", errors=("not_found", "rate_limited", *_STORED)),
    "activity.runs": RouteSpec((200, "OperatorRuns"), query={"tenant": TEXT}, errors=_OPERATOR),
    "activity.run": RouteSpec((200, "OperatorRun"), errors=("not_found", *_OPERATOR)),
    "activity.stop": RouteSpec((202, "RunStopped"), body="StopReason", errors=(*_THREAD, "content_blocked")),
    "takeovers.take_over": RouteSpec((200, "TakenOver"), body="StopReason", errors=(*_TAKEN, "content_blocked")),
    "takeovers.hand_back": RouteSpec((204, ""), errors=(*_THREAD, "forbidden", "run_ended")),
    "takeovers.one": RouteSpec((200, "TakenRun"), errors=(*_THREAD, "forbidden", "taken_over")),
    "takeovers.events": RouteSpec(
        (200, "RunEvents"), query={"after": COUNT, "limit": _to(1000)}, errors=(*_THREAD, "forbidden", "taken_over"),
    ),
    "takeovers.command": RouteSpec((202, "RunStopped"), body="OperatorCommand", errors=(*_TAKEN, *_COMMAND_ERRORS)),
    "activity.connections": RouteSpec(
        (200, "OperatorConnections"), query={"user": TEXT, "limit": _to(200)}, errors=_OPERATOR,
    ),
    "activity.users": RouteSpec((200, "OperatorUsers"), query={"tenant": TEXT}, errors=_OPERATOR),
    "admin.overview": RouteSpec((200, "AdminOverview"), query={"tenant": TEXT}, errors=_OPERATOR),
    "admin.runs_of": RouteSpec((200, "AdminUserRuns"), query={"tenant": TEXT}, errors=_OPERATOR),
    "admin.users": RouteSpec(
        (200, "AdminUsers"), query={"tenant": TEXT, "cursor": TEXT, "limit": _to(500)}, errors=_OPERATOR,
    ),
    "admin.spending": RouteSpec(
        (200, "AdminSpending"), query={"tenant": TEXT, "by": one_of(BY), "days": _to(KEPT_DAYS)}, errors=_OPERATOR,
    ),
    "admin_schedules.all_of_them": RouteSpec((200, "AdminSchedules"), query={"tenant": TEXT}, errors=_OPERATOR),
    "admin.sign_ins": RouteSpec((200, "AdminSignIns"), query={"tenant": TEXT}, errors=_OPERATOR),
    "admin_accounts.listing": RouteSpec((200, "AdminAccounts"), query={"cursor": TEXT}, errors=_THREAD),
    "admin_accounts.invite": RouteSpec((201, "JoinLink"), body="InviteUser", errors=_ACCOUNT),
    "admin_accounts.reset": RouteSpec((201, "JoinLink"), body="ResetAccount", errors=_ACCOUNT),
    "admin_accounts.change": RouteSpec((200, "Account"), body="ChangeAccount", errors=(*_ACCOUNT, "last_operator")),
    "admin.settings": RouteSpec((200, "AdminSettings"), errors=("rate_limited", "internal")),
    "admin.models": RouteSpec((200, "LocalModels"), errors=("rate_limited", "internal")),
    "admin.use_model": RouteSpec((200, "ModelInUse"), body="LocalModelChoice", errors=("not_found", *_STORED)),
    "activity.health": RouteSpec((200, "OperatorHealth"), query={"minutes": _to(60)}, errors=_OPERATOR),
    "activity.find": RouteSpec(
        (200, "OperatorFound"), query={"text": {"type": "string", "minLength": 1, "maxLength": 200}}, errors=_OPERATOR,
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
        [*spec.refusals, "forbidden", *(["unauthenticated", "token_expired"] if spec.token else [])]
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
