import pytest

from transport.auth.addresses import PrivateAddress, is_named_private, is_public, resolve


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "::1", "fe80::1%eth0",
     "fd00::1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
     # not in a registry's blocks for everyone, or for protocols and examples
     "::a9fe:a9fe", "::ffff:0:a9fe:a9fe", "64:ff9b:1::1", "fec0::1", "5f00::1", "3fff::1", "2001::1", "2001:db8::1",
     "100::1", "4000::1", "ff02::1", "::", "192.0.0.8", "192.88.99.1", "198.18.0.1", "255.255.255.255"],
)  # fmt: skip
def test_an_address_that_not_everyone_reaches_is_not_public(address) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "2606:4700::1111", "64:ff9b::101:101", "2002:101:101::", "2a00:1450::1", "192.0.3.1"]
)
def test_an_address_that_everyone_reaches_is_public(address) -> None:
    assert is_public(address)


def test_a_host_is_private_by_its_name() -> None:
    private = ("localhost", "mcp", "a.localhost", "printer.local", "db.internal", "10.0.0.1", "::1")
    assert [host for host in private if not is_named_private(host)] == []
    assert [host for host in ("example.org", "1.1.1.1", "local.example.org") if is_named_private(host)] == []


async def test_a_private_address_is_resolved_only_if_it_may_be() -> None:
    assert await resolve("http://127.0.0.1:81/x", private=True) == [("127.0.0.1", 81)]
    assert await resolve("https://1.1.1.1/", private=False) == [("1.1.1.1", 443)]
    with pytest.raises(PrivateAddress, match=r"127\.0\.0\.1 has a private address"):
        await resolve("http://127.0.0.1/", private=False)
