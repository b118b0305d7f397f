import attrs
import pytest

from understudy.storage.limits import Limits


def test_the_defaults_are_those_of_the_protocol() -> None:
    """The published defaults; a change here is a change of the reference page."""
    assert attrs.asdict(Limits()) == {
        "frame_bytes": 256 * 1024,
        "transport_bytes": 1024 * 1024,
        "chunks_bytes": 8 * 1024 * 1024,
        "chunk_s": 30.0,
        "messages_per_minute": 120,
        "operations_per_minute": 120,
        "signals_per_minute": 1200,
        "requests_per_minute": 6000,
        "sessions_per_minute": 600,
        "connections_per_user": 20,
        "connections_per_peer": 5000,
        "connections_total": 10_000,
        "runs_per_user": 10,
        "runs_per_tenant": None,
        "runs_total": 1000,
        "runs_waiting": 1000,
        "files_bytes_per_user": 1024**3,
        "files_bytes_per_tenant": 50 * 1024**3,
        "threads_bytes_per_user": 1024**3,
        "threads_bytes_per_tenant": 50 * 1024**3,
        "run_turns": 200,
        "run_calls": 500,
        "run_tokens": None,
        "run_cost": None,
        "run_s": 3600.0,
        "approval_s": 900.0,
        "approval_unseen_s": 86_400.0,
        "heartbeat_s": 25.0,
        "renewal_s": 60.0,
        "history_messages": 100,
    }


@pytest.mark.parametrize("name", [field.name for field in attrs.fields(Limits)])
@pytest.mark.parametrize("value", [0, -1])
def test_no_limit_can_be_nothing(name, value) -> None:
    """A limit of zero would shut the door for good, so it is refused where it is set."""
    with pytest.raises(ValueError, match=name):
        Limits(**{name: value})
