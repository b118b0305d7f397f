import pytest

from transport.auth.forwarded import TrustedProxies

CASES = [
    ("203.0.113.9", None, "203.0.113.9"),
    ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
    ("10.0.0.1", None, "10.0.0.1"),
    ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
    ("10.0.0.1", "6.6.6.6, 198.51.100.1", "198.51.100.1"),
    ("10.0.0.1", "6.6.6.6, 198.51.100.1, 10.2.3.4", "198.51.100.1"),
    ("10.0.0.1", "10.9.9.9,10.2.3.4", "10.9.9.9"),
    ("10.0.0.1", "6.6.6.6, nonsense", "10.0.0.1"),
    ("10.0.0.1", "6.6.6.6, nonsense, 10.2.3.4", "10.2.3.4"),
    ("10.0.0.1", "", "10.0.0.1"),
    ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
    ("10.0.0.1", "198.51.100.1:51234", "198.51.100.1"),
    ("10.0.0.1", "6.6.6.6:1, 198.51.100.1:2, 10.2.3.4:3", "198.51.100.1"),
    ("10.0.0.1", "[2001:db8:1:2:3::4]:443", "2001:db8:1:2::/64"),
    ("10.0.0.1", "[2001:db8:1:2:3::4]", "2001:db8:1:2::/64"),
    ("10.0.0.1", "[::ffff:198.51.100.1]:80", "198.51.100.1"),
    ("10.0.0.1", "unknown:80", "10.0.0.1"),
    ("10.0.0.1", "[", "10.0.0.1"),
    ("::1", "2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
    ("2001:db8:1:2:aaaa::1", None, "2001:db8:1:2::/64"),
    ("fe80::1%eth0", None, "fe80::/64"),
    ("", "6.6.6.6", ""),
    ("10.0.0.1", ",".join(["6.6.6.6"] * 5000), "6.6.6.6"),
    ("10.0.0.1", ",".join(["6.6.6.6"] + ["10.0.0.2"] * 16), "10.0.0.2"),
]


@pytest.mark.parametrize(("peer", "forwarded", "client"), CASES)
def test_only_a_trusted_proxy_is_believed(peer, forwarded, client) -> None:
    """The header is read from its end to the first untrusted address; entries before that are ignored."""
    assert TrustedProxies(["10.0.0.0/8", "::1"]).client_address(peer, forwarded) == client


def test_without_proxies_nobody_is_believed() -> None:
    assert TrustedProxies().client_address("127.0.0.1", "6.6.6.6") == "127.0.0.1"


@pytest.mark.parametrize("entry", ["proxy.example", "10.0.0.1/8", "", "*", "10.0.0.0/33"])
def test_a_proxy_is_an_address_or_a_network(entry) -> None:
    """Any other text raises ValueError."""
    with pytest.raises(ValueError, match=r"does not appear|has host bits"):
        TrustedProxies([entry])
