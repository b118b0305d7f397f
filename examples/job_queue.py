"""A job queue: workers die, jobs fail, and yet every order gets an outcome.

    python examples/job_queue.py

Orders are sent to a pool of workers. A worker starts a job for each, which is tried up to three times, with growing
delays, within a deadline. If the worker itself dies, its next incarnation gets the order again; an order that kills
three incarnations is poison, and is set aside with its history. So an order may be processed twice, but is never lost.
"""

from collections.abc import Awaitable, Callable

import trio
from attrs import field, frozen

from actors import Actor, Backoff, ChildSpec, Context, DeadLetter, MailboxSender, Supervision, open_mailbox, open_system
from actors.behaviours import Job, JobFailed, JobTimedOut, Pool, PoolRef, Retry

RETRY = Retry(attempts=3, backoff=Backoff(min_s=0.05, max_s=1.0), never=(ValueError,))
DEADLINE_S = 0.6  # for all attempts at an order and the delays between them


@frozen
class Outcome:
    """The outcome of an order. `attempts` and `errors` are those of its last job, or of the workers that it killed."""

    order: str
    text: str
    attempts: int
    errors: tuple[str, ...] = ()


@frozen
class Order:
    """An order for the pool: do `work`, and send the outcome to `reply_to`."""

    name: str
    work: Callable[[], Awaitable[object]] = field(repr=False)
    reply_to: MailboxSender = field(repr=False)


class Worker(Actor):
    """Processes one order after the other. It supervises their jobs, so a job ends with its worker."""

    supervision = Supervision()

    async def receive(self, message: object, context: Context) -> None:
        match message:
            case Order(name, work, reply_to):
                job = await Job.start(context, name, work, retry=RETRY, timeout_s=DEADLINE_S)
                await reply_to.send(await self.outcome(name, job))
            case _:
                context.unhandled(message)

    async def outcome(self, name: str, job: Job[object]) -> Outcome:
        errors: tuple[Exception, ...] = ()
        try:
            text = f"done: {await job.result()}"
        except (JobFailed, JobTimedOut) as error:
            text, errors = f"{type(error).__name__}", error.causes
        return Outcome(name, text, job.attempt, tuple(repr(error) for error in errors))


def set_aside(letter: DeadLetter) -> None:
    """Send the outcome of a poison order to its submitter."""
    match letter:
        case DeadLetter(message=Order(name, _, reply_to), why="poison", history=history):
            reply_to.send_nowait(Outcome(name, "set aside", len(history), history))


class Office:
    """The functions of the orders, some of which fail."""

    def __init__(self) -> None:
        self.calls = 0
        self.began = trio.Event()

    async def copy(self) -> str:
        return "three copies"

    async def call(self) -> str:
        """Fail twice, and then succeed."""
        self.calls += 1
        if self.calls < 3:
            raise ConnectionError("the line is busy")
        return f"call number {self.calls} came through"

    async def sign(self) -> str:
        """Fail with an error that is never retried."""
        raise ValueError("this form has no place for a signature")

    async def wait_for_godot(self) -> None:
        await trio.sleep_forever()

    async def bind(self) -> str:
        """Take a while, in which the worker is killed."""
        self.began.set()
        await trio.sleep(0.3)
        return "bound in cloth"


async def main() -> dict[str, Outcome]:
    """Return the outcome of each order, by its name."""
    office, workers = Office(), PoolRef()
    worker = ChildSpec("worker", Worker, redeliver=2, backoff=Backoff(min_s=0.05))
    reply_to, outcomes = open_mailbox()
    orders = [
        Order("bind", office.bind, reply_to),
        Order("call", office.call, reply_to),
        Order("godot", office.wait_for_godot, reply_to),
        Order("sign", office.sign, reply_to),
        Order("copy/may", office.copy, reply_to),  # '/' cannot be in the name of a job: no worker survives this one
        Order("copy", office.copy, reply_to),
    ]
    async with open_system("office", [ChildSpec("workers", lambda: Pool(workers, worker, size=3))]) as system:
        system.dead_letters.subscribe(set_aside)
        for order in orders:
            workers.tell(order)
        await office.began.wait()
        (binder,) = [ref for ref in workers.workers if any(job.path.endswith("/bind") for job in ref.children())]
        binder.kill()
        print("killed while it was binding:", binder.path)

        done: dict[str, Outcome] = {}
        with trio.fail_after(5):
            while len(done) < len(orders):
                outcome = await outcomes.receive()
                done[outcome.order] = outcome
                print(f"{outcome.order}: {outcome.text}, attempts: {outcome.attempts}", *outcome.errors, sep="\n    ")
        print(system.tree().text())
        if life := system.explain(binder.path):
            print(life.text())
    return done


if __name__ == "__main__":
    trio.run(main)
