"""Names of OpenTelemetry's semantic conventions that spans use, and those of this server.

The names for generative AI are those of version `VERSION`. They are in development: a later version may change them,
and then a later release of this server does.
"""

from typing import Final

VERSION: Final = "1.41"
"""The version of the conventions for generative AI."""

# Generative AI

OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
AGENT_NAME: Final = "gen_ai.agent.name"
AGENT_ID: Final = "gen_ai.agent.id"
CONVERSATION: Final = "gen_ai.conversation.id"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_TYPE: Final = "gen_ai.tool.type"
TOOL_CALL: Final = "gen_ai.tool.call.id"

INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
TOOL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
TOOL_RESULT: Final = "gen_ai.tool.call.result"

CONTENT: Final = (INPUT_MESSAGES, OUTPUT_MESSAGES, TOOL_ARGUMENTS, TOOL_RESULT)
"""Attributes with texts of users, models and tools; only with the setting `otlp.content`."""

INVOKE_AGENT: Final = "invoke_agent"
CHAT: Final = "chat"
EXECUTE_TOOL: Final = "execute_tool"

# General

ERROR_TYPE: Final = "error.type"
DATABASE: Final = "db.system.name"
DATABASE_OPERATION: Final = "db.operation.name"
RPC_METHOD: Final = "rpc.method"
RESEND_COUNT: Final = "http.request.resend_count"

# This server's own

RUN: Final = "understudy.run.id"
NODE: Final = "understudy.node.id"
EVENTS: Final = "understudy.commit.events"
STEPS: Final = "understudy.commit.steps"
