"""The names that each package has."""

import types

import pytest

import actors
from actors import behaviours, interop

ACTORS = [
    "Actor", "ActorCrashed", "ActorDied", "ActorError", "ActorRef", "ActorRestarting", "ActorStarted",
    "ActorStopped", "ActorSystem", "ActorUnavailable", "AlreadyStarted", "Ask", "AskCycle", "AskTimeout",
    "AutoShutdown", "Backoff", "ChildCount", "ChildSpec", "Conflate", "Context", "CoordinatedShutdown",
    "CountChildren", "Crashed", "DeadLetter", "DeadLetters", "DeathPact", "Decision", "Directive", "Escalated",
    "Event", "Exit", "Explanation", "ForgetChild", "Ignore", "IncarnationDied", "Incident", "IntensityExceeded",
    "Interceptor", "InvalidActor", "InvalidSpec", "Killed", "Lane", "LaneStatistics", "ListSpecs", "MailboxFull",
    "MailboxReceiver", "MailboxSender", "MailboxSpec", "MessageUnhandled", "NoSuchActor", "NoSuchChild",
    "Normal", "NotAnAsk", "NotEntered", "NotMainThread", "NotSupervising", "Notice", "Overflow", "PHASES",
    "Phase", "PhaseOver", "RaisedBaseException", "Receive", "Restart", "RestartChild", "Restarted", "SelfCall",
    "Shutdown", "ShutdownOverdue", "ShutdownTaskFailed", "SlowHandler", "SpentSpec", "StartChild",
    "StartDeclined", "StartFailed", "StartTimeout", "Stash", "StashCleared", "StashFull", "State", "StopChild",
    "StopMode", "Strategy", "Supervision", "Supervisor", "SystemFailed", "Terminated", "TooManyChildren",
    "TreeChange", "TreeNode", "TreeStream", "Unanswered", "UnhandledMessage", "WatchdogDied", "WrongLoop",
    "conflate", "enqueued_at", "open_mailbox", "open_system", "sleep", "stop_on_signals", "wait_for_signal",
]  # fmt: skip
BEHAVIOURS = [
    "AcquirePermit", "AskedPool", "AttemptTimeout", "Breaker",
    "BreakerStatistics", "Broadcast", "Buckets", "CallTimeout", "CheckTimeout", "CircuitChange", "CircuitOpen",
    "CircuitSpec", "CircuitState", "ConsistentHash", "DEFAULT_RESOURCE_OPTIONS", "DynamicSupervisor", "Entered",
    "EventTimeout", "FailureCount", "GetJob", "InspectTopic", "Job",
    "JobCancelled", "JobFailed", "JobState", "JobTimedOut", "LeastLoaded", "Listing", "MarkBroken",
    "NameTaken", "NoWorkers", "NotRegistered", "ONCE", "OpenTimeout", "OutsideHandler", "Pool",
    "PoolRef", "PoolStatistics", "Publish", "Rate", "ReadResource", "ReadThrottle",
    "Registry", "RegistryStatistics", "Resource", "ResourceActor", "ResourceEnded",
    "ResourceLost", "ResourceOptions", "ResourceStatus", "ResourceUnavailable", "Retry", "RoundRobin",
    "Routing", "StartFromTemplate", "StateMachine", "StateTimeout", "Subscribe",
    "SubscriberStatistics", "Throttle", "ThrottleStatistics", "TopicStatistics",
    "TransitionRefused", "Transitions", "Unsubscribe", "WorkerStatistics",
    "job", "on_entry", "resource", "start_under", "topic",
]  # fmt: skip
INTEROP = [
    "ForeignTimeout", "LateCall", "ThreadActor", "ThreadContext", "ThreadSpec", "TooManyAbandoned", "late_calls",
    "run_in_thread",
]  # fmt: skip
ALIASES = {"Interceptor", "Receive", "Transitions", "enqueued_at"}
"""Names of types and of a variable, which have no place for a docstring of their own."""


@pytest.mark.parametrize(("package", "names"), [(actors, ACTORS), (behaviours, BEHAVIOURS), (interop, INTEROP)])
def test_the_public_names_are_these(package, names):
    public = {
        name: value
        for name, value in vars(package).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert sorted(public) == names
    assert [name for name, value in public.items() if not value.__doc__ and name not in ALIASES] == []
