"""The names of spans' attributes against those of OpenTelemetry's own package."""

from opentelemetry.semconv._incubating.attributes import (
    db_attributes,
    error_attributes,
    gen_ai_attributes,
    http_attributes,
    rpc_attributes,
)

from understudy.observe import conventions


def test_every_name_is_one_of_the_conventions_or_our_own() -> None:
    modules = (gen_ai_attributes, error_attributes, db_attributes, rpc_attributes, http_attributes)
    conventional = {value for module in modules for value in vars(module).values() if isinstance(value, str)}
    used = {value for name, value in vars(conventions).items() if name.isupper() and isinstance(value, str)}
    used -= {conventions.VERSION}
    operations = {operation.value for operation in gen_ai_attributes.GenAiOperationNameValues}
    assert {conventions.CHAT, conventions.EXECUTE_TOOL, conventions.INVOKE_AGENT} <= operations
    assert {name for name in used - operations if not name.startswith("understudy.")} <= conventional
    assert set(conventions.CONTENT) <= conventional
