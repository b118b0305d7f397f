"""A change is checked when it is made, not when it is stored."""

import pytest

from understudy.storage.changes import Change


def test_a_change_has_parts_of_one_thread_only(make) -> None:
    for part in (
        {"thread": make.thread("bob")}, {"thread": make.thread("ann", "t2")}, {"messages": (make.message("bob"),)},
        {"messages": (make.message(), make.message("ann", "t2", "m2"))}, {"run": make.run("bob")},
        {"run": make.run("ann", "t2")},
    ):  # fmt: skip
        with pytest.raises(ValueError, match="the change is of thread 't1'"):
            Change("ann", "t1", **part)


@pytest.mark.parametrize("order", [(1, 3), (2, 1), (1, 1), (1, 2, 4)])
def test_events_have_no_gap(make, order) -> None:
    events = {event.seq: event for event in make.events(1, 4)}
    with pytest.raises(ValueError, match="is followed by"):
        make.change(events=[events[number] for number in order])


def test_statuses_and_roles_are_checked(make) -> None:
    with pytest.raises(ValueError, match="status"):
        make.run(status="asleep")
    with pytest.raises(ValueError, match="status"):
        make.ending(status="running")
    with pytest.raises(ValueError, match="role"):
        make.message(role="system")
    with pytest.raises(ValueError, match="seq"):
        make.events(0, 1)


def test_texts_of_users_are_never_printed(make) -> None:
    change = make.change(
        thread=make.thread(title="my secret"),
        messages=(make.message(content="my secret", visualization={"title": "my secret"}),),
        events=make.events(1, 2, note="my secret"),
        steps=(make.step(1, arguments="my secret", result="my secret"),),
    )
    assert "secret" not in repr(change)
    assert "secret" not in repr(make.file(name="secret.txt"))
