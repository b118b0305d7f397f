"""What the parent of workers holds for them does what Redis does for nodes."""

from understudy.cluster.broker import ALIVE_S, ENTRIES, INBOX_MAXLEN, TokensTaken
from understudy.cluster.local_hub import END, LocalHub


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_packet_to_a_node_without_an_inbox_is_not_sent() -> None:
    hub = LocalHub(Clock())
    assert hub.open_inbox("a")
    assert not hub.open_inbox("a"), "it is there"
    assert hub.send([("a", b"1"), ("b", b"2")], {}) == [True, False]


def test_an_entry_is_read_once_and_stays_until_it_is_acknowledged() -> None:
    hub = LocalHub(Clock())
    hub.open_inbox("a")
    hub.send([("a", b"1"), ("a", b"2")], {})
    first, second = hub.read_new("a", "a")
    assert (first.data, second.data, first.made_at) == (b"1", b"2", 1000.0)
    assert hub.read_new("a", "a") == []
    assert not hub.remove_if_empty("a")
    hub.send([], {"a": [first.id]})
    assert [each.data for each in hub.claim("a", "b", END, 0)[1]] == [b"2"]
    hub.send([], {"a": [second.id]})
    assert hub.remove_if_empty("a")
    assert hub.inboxes() == []


def test_another_reader_claims_only_entries_that_were_read_long_enough_ago() -> None:
    clock = Clock()
    hub = LocalHub(clock)
    hub.open_inbox("a")
    hub.send([("a", b"read"), ("a", b"unread")], {})
    hub.read_new("a", "a")
    hub.send([("a", b"new")], {})
    clock.now += 0.9
    assert hub.claim("a", "b", END)[1] == []
    clock.now += 0.2
    assert [each.data for each in hub.claim("a", "b", END)[1]] == [b"read", b"unread"]
    assert hub.claim("a", "c", END)[1] == [], "b has just claimed them"


def test_a_claim_goes_on_where_it_ended() -> None:
    hub = LocalHub(Clock())
    hub.open_inbox("a")
    hub.send([("a", b"%d" % number) for number in range(ENTRIES + 1)], {})
    hub.read_new("a", "a")
    hub.read_new("a", "a")
    onward, found = hub.claim("a", "b", END, 0)
    assert len(found) == ENTRIES
    assert hub.claim("a", "b", onward, 0)[1][0].data == b"%d" % ENTRIES


def test_an_inbox_that_nobody_reads_drops_its_oldest_entries() -> None:
    hub = LocalHub(Clock())
    hub.open_inbox("a")
    hub.send([("a", b"%d" % number) for number in range(INBOX_MAXLEN + 3)], {})
    kept: list[bytes] = []
    while entries := hub.read_new("a", "a"):
        kept += [each.data for each in entries]
    assert (len(kept), kept[0]) == (INBOX_MAXLEN, b"3")


def test_the_counts_of_nodes_are_limited_together_while_they_live() -> None:
    clock = Clock()
    hub = LocalHub(clock)
    assert [hub.renew_presence(each) for each in ("a", "b", "a")] == [False, False, True]
    assert hub.count("ann", "a", 2, 3)
    assert not hub.count("ann", "b", 2, 3)
    assert hub.count("ann", "b", 1, 3)
    clock.now += ALIVE_S + 0.1
    hub.renew_presence("b")
    assert hub.count("ann", "b", 3, 3), "a is gone, and its count with it"
    assert not hub.renew_presence("a")


def test_tokens_are_taken_from_one_bucket_that_refills() -> None:
    clock = Clock()
    hub = LocalHub(clock)
    assert hub.take_tokens([TokensTaken("ann", 60, 10, 4)]) == [6]
    assert hub.take_tokens([TokensTaken("ann", 60, 10, 30)]) == [-10], "no lower than one burst"
    clock.now += 5
    assert hub.take_tokens([TokensTaken("ann", 60, 10, 0), TokensTaken("bob", 60, 10, 1)]) == [-5, 9]
