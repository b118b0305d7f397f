"""A polite crawler: it limits the rate of requests to each host, and spares a host that is down.

    python examples/crawler.py

Each page is a job, which is retried if it fails. Jobs ask a pool of fetchers, which ask a throttle for a permit right
before each request; each host has a breaker. Two web sites are started to be crawled: one has a slow page, during which
all fetchers are killed, a page that fails at first, and a broken link; the other one is down for a while.
"""

import re
from contextlib import suppress
from functools import partial
from urllib.parse import urljoin, urlsplit

import trio
from attrs import frozen

from actors import Actor, ActorError, ActorRef, ActorStopped, Ask, Backoff, ChildSpec, Context, open_system
from actors.behaviours import (
    AcquirePermit,
    Breaker,
    Buckets,
    CircuitSpec,
    FailureCount,
    Job,
    JobFailed,
    LeastLoaded,
    Pool,
    PoolRef,
    Rate,
    Retry,
    Throttle,
)

RATE = Rate(per_s=25)
RETRY = Retry(attempts=9, backoff=Backoff(min_s=0.1, max_s=0.4))
CIRCUIT = CircuitSpec(FailureCount(limit=2), reset=Backoff(min_s=0.2, max_s=0.4))
Page = tuple[int | JobFailed, list[str]]  # the status, and the links


class Site:
    """A web site on loopback: the links of its pages. It is down for `down_s` seconds from the first request on."""

    def __init__(self, pages: dict[str, list[str]], down_s: float = 0.0) -> None:
        self.pages, self.down_s = pages, down_s
        self.asked_at: list[float] = []
        self.failing = {"/flaky"}
        self.slow = trio.Event()

    async def open(self, nursery: trio.Nursery) -> str:
        """Start serving. Return host and port."""
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, self.answer, [listener])
        return f"127.0.0.1:{listener.socket.getsockname()[1]}"

    async def answer(self, stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError, IndexError):  # the fetcher may be killed meanwhile
            path = (await stream.receive_some(4096)).split()[1].decode()
            self.asked_at.append(trio.current_time())
            fails = path in self.failing or self.asked_at[-1] < self.asked_at[0] + self.down_s
            self.failing.discard(path)
            status = 503 if fails else 200 if path in self.pages else 404
            if path == "/slow":
                self.slow.set()
                await trio.sleep(0.3)
            links = "".join(f'<a href="{link}">' for link in self.pages.get(path, ()))
            await stream.send_all(f"HTTP/1.0 {status} -\r\n\r\n{links}".encode())


async def get(url: str) -> Page:
    """Fetch a page. Raises `OSError` if the host fails."""
    parts = urlsplit(url)
    async with await trio.open_tcp_stream(parts.hostname or "", parts.port or 80) as stream:
        await stream.send_all(f"GET {parts.path} HTTP/1.0\r\n\r\n".encode())
        answer = b"".join([chunk async for chunk in stream]).decode()
    status = int(answer.split()[1])
    if status >= 500:
        raise ConnectionError(f"{status} from {url}")
    return status, [urljoin(url, link) for link in re.findall(r'href="(.*?)"', answer)]


@frozen
class Fetch(Ask[Page]):
    """Ask a fetcher for a page."""

    url: str


class Fetcher(Actor):
    """Fetches one page at a time, if the host's breaker is closed and when the throttle grants a permit."""

    def __init__(self, breakers: dict[str, Breaker], throttle: ActorRef) -> None:
        self.breakers, self.throttle = breakers, throttle

    async def receive(self, message: object, context: Context) -> None:
        match message:
            case Fetch(url) as request:
                try:
                    request.reply(await self.breakers[urlsplit(url).netloc].call(self.get_in_turn, url))
                except (OSError, ActorError) as error:  # the fault of the host is no reason to crash
                    request.fail(error)
            case _:
                context.unhandled(message)

    async def get_in_turn(self, url: str) -> Page:
        await self.throttle.ask(AcquirePermit(urlsplit(url).netloc))
        return await get(url)


async def main() -> dict[str, object]:
    """Return the pages, the times of one site's requests, the other's breaker statistics, and the order of ends."""
    async with trio.open_nursery() as web:
        down = Site({"/1": [], "/2": [], "/3": [], "/4": []}, down_s=0.3)
        other = await down.open(web)
        links = ["slow", "flaky", "missing", *(f"http://{other}{path}" for path in down.pages)]
        site = Site({"/": links, "/slow": ["/", "end"], "/flaky": ["slow"], "/end": []})
        home = await site.open(web)
        breakers = {host: Breaker(host, CIRCUIT) for host in (home, other)}
        fetchers, buckets, found, ended = PoolRef(LeastLoaded()), Buckets(RATE), dict[str, str](), list[str]()
        async with open_system("crawler") as system:
            throttle = await system.spawn(ChildSpec("throttle", partial(Throttle, None, buckets)))
            fetcher = ChildSpec("fetcher", partial(Fetcher, breakers, throttle))
            await system.spawn(ChildSpec("fetchers", partial(Pool, fetchers, fetcher, size=4)))

            async def visit(url: str) -> None:
                """Fetch a page and all pages that its links lead to."""
                if url in found:
                    return
                found[url] = "wanted"
                job = await Job.start(system, None, lambda: fetchers.ask(Fetch(url)), retry=RETRY)
                try:
                    status, links = await job.result()
                except JobFailed as failed:
                    status, links = failed, []
                found[url] = f"{status}, at attempt {job.attempt}"
                print(url, found[url])
                async with trio.open_nursery() as nursery:
                    for link in links:
                        nursery.start_soon(visit, link)

            async with trio.open_nursery() as crawl:
                crawl.start_soon(visit, f"http://{home}/")
                await site.slow.wait()
                print("while the slow page is on its way, all fetchers are killed")
                for ref in fetchers.workers:
                    ref.kill()
            print(system.tree().text())
            system.listen(lambda event: ended.append(event.path) if isinstance(event, ActorStopped) else None)
        web.cancel_scope.cancel()
    statistics = breakers[other].statistics()
    print("the site that was down was asked", statistics.passed, "times, and not asked", statistics.refused, "times")
    print("nothing was left to fetch, and this was the end:", *ended)
    return {"found": found, "asked_at": site.asked_at, "down": statistics, "ended": ended}


if __name__ == "__main__":
    trio.run(main)
