"""The names that the package of behaviours has."""

import types

from actors import behaviours


def test_the_public_names_are_these():
    public = {
        name: value
        for name, value in vars(behaviours).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert sorted(public) == [
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
    aliases = {"Transitions"}  # of types: they have no place for a docstring
    assert [name for name, value in public.items() if not value.__doc__ and name not in aliases] == []
