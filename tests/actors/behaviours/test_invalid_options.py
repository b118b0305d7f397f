"""Options of behaviours that make no sense are refused when they are built, not when they are used."""

import math

import pytest

from actors import InvalidSpec
from actors.behaviours.bucket import Buckets, Rate
from actors.behaviours.circuit import CircuitSpec, FailureCount
from actors.behaviours.resource_actor import ResourceActor, ResourceOptions


def source():
    raise AssertionError("nothing is opened")


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (lambda: Rate(0.0), "per_s"),
        (lambda: Rate(math.inf), "per_s"),
        (lambda: Rate(1.0, 0), "burst"),
        (lambda: Rate(1.0, True), "burst"),
        (lambda: Buckets(Rate(1.0), max_keys=0), "max_keys"),
        (lambda: FailureCount(0), "limit"),
        (lambda: FailureCount(True), "limit"),
        (lambda: FailureCount(1, 0.0), "window_s"),
        (lambda: CircuitSpec(trials=0), "trials"),
        (lambda: CircuitSpec(slow_call_s=-1.0), "slow_call_s"),
        (lambda: ResourceOptions(open_timeout_s=0), "open_timeout_s"),
        (lambda: ResourceOptions(exit_timeout_s=-1), "exit_timeout_s"),
        (lambda: ResourceOptions(check_every_s=math.nan), "check_every_s"),
        (lambda: ResourceActor(source, limit=0), "limit"),
        (lambda: ResourceActor(source, waiting=0), "waiting"),
    ],
)
async def test_the_error_names_the_option(make, wrong):
    with pytest.raises(InvalidSpec, match=f"^{wrong}: "):
        make()
