"""Who is measured beside our actors, and what each needs."""

from __future__ import annotations

from attrs import frozen


@frozen
class Peer:
    """One peer: the file in this folder that measures it, and where its library comes from.

    `package` is what that file imports, and `requirements` are the pip requirements that bring it: the versions the
    file was written for. `idle_actors` is how many stay idle at once where 100,000 would not fit.
    """

    name: str
    file: str
    package: str | None = None
    requirements: tuple[str, ...] = ()
    idle_actors: int = 100_000


OURS = Peer("ours", "ours.py")

PEERS = (
    Peer("pykka", "pykka_threads.py", "pykka", ("pykka==4.5.0",), idle_actors=1_000),
    Peer("triotp", "triotp_servers.py", "triotp", ("triotp==0.2.1",), idle_actors=10_000),
    Peer("trio", "raw_trio.py"),
    Peer("erlang", "erlang.escript"),
)
"""The libraries, then `trio` alone, and Erlang as the far mark."""
