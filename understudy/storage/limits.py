"""Every limit of a server, each a setting: of runs, of what users and tenants use, and of clients."""

from attrs import field, frozen, validators

from transport.connection.limits import ClientLimits

_positive = validators.gt(0.0)
_at_least_one = validators.ge(1)


@frozen(kw_only=True, slots=False)
class RunLimits:
    """How many runs there may be, and how much each may do."""

    runs_per_user: int = field(default=10, validator=_at_least_one)
    """Concurrent runs of each user, on all servers over one database together."""
    runs_per_tenant: int | None = field(default=None, validator=validators.optional(_at_least_one))
    """Concurrent runs of all users of one tenant, on all servers together; half of `runs_total` unless set, without
    effect on a server without tenants."""
    runs_total: int = field(default=1000, validator=_at_least_one)
    """Concurrent runs of one server in total. A message beyond this or the two before is queued."""
    runs_waiting: int = field(default=1000, validator=_at_least_one)
    """Queued runs of one server in total; one user, or one tenant, may have half of them. More are `busy`."""
    run_turns: int = field(default=200, validator=_at_least_one)
    """Turns of the model in one run, which then closes with what it has. An agent's own budget may be smaller, and a
    larger one is an error at the start; so for calls, tokens, cost and seconds."""
    run_calls: int = field(default=500, validator=_at_least_one)
    """Tool calls in one run."""
    run_tokens: int | None = field(default=None, validator=validators.optional(_at_least_one))
    """Tokens in and out of one run; no limit unless set."""
    run_cost: float | None = field(default=None, validator=validators.optional(_positive))
    """Cost of one run, in the currency of the prices; no limit unless set."""
    run_s: float = field(default=3600.0, validator=_positive)
    """How long a run may work; an agent's own `timeout_s` may be shorter, and a longer one is an error at the start."""
    approval_s: float = field(default=900.0, validator=_positive)
    """How long a tool call waits for its user's decision, until it is denied, or for the answer to its question."""
    approval_unseen_s: float = field(default=86_400.0, validator=_positive)
    """How long a tool call waits for a user without a connection to the node when it asks; at most ten questions of a
    user, and a quarter of `runs_waiting` in all, wait as long, and none of a client's own tools."""
    history_messages: int = field(default=100, validator=_at_least_one)
    """Messages of a branch that are read for a model; a quarter of them is left out at a time."""


@frozen(kw_only=True, slots=False)
class UserLimits:
    """How much users, and all users of one tenant, may begin and store."""

    sessions_per_minute: int = field(default=600, validator=_at_least_one)
    """Sessions of anonymous users, begun from one address; more are 429."""
    files_bytes_per_user: int = field(default=1024**3, validator=_at_least_one)
    """Total size of one user's files, uploaded or made by tools; more are `quota_exceeded`."""
    files_bytes_per_tenant: int = field(default=50 * 1024**3, validator=_at_least_one)
    """Total size of the files of all users of one tenant."""
    threads_bytes_per_user: int = field(default=1024**3, validator=_at_least_one)
    """Total size of one user's messages and events; further messages are `quota_exceeded`."""
    threads_bytes_per_tenant: int = field(default=50 * 1024**3, validator=_at_least_one)
    """Total size of the messages and events of all users of one tenant."""


@frozen(kw_only=True)
class Limits(UserLimits, RunLimits, ClientLimits):
    """Every limit. Sizes are in bytes; `_s` is seconds. A rate allows a burst of one minute's worth."""
