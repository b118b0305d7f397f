"""Browsers that are notified of their user's runs, and the queue of notices: one row for each event and browser.

1. A notice is queued in the transaction of its event, for each browser of the user that wants its kind: once.
2. A node claims a notice by moving its `due_at`, if the number of attempts is still the one it read. A node that dies
   leaves a row that is due again later.
3. All times are by the database's clock.
"""

from collections.abc import Iterable
from typing import Any, Final

from attrs import field, frozen
from sqlalchemy import Connection, Float, Integer, Text, bindparam, delete, literal, select, true, update

from . import schema
from .prepared import Prepared
from .schema import Now
from .write import Write, add_users, put

MOST: Final = 10
"""Browsers of a user; one more takes the place of the oldest."""
LARGEST_BATCH: Final = 20
DELAY_S: Final = 3.0
"""Seconds until a notice is due: a user who looks at the page has seen or answered it by then."""
ASKS: Final = ("approval_required", "question_asked")
"""Types of the events that ask the user; each browser is notified of them."""
ANSWERS: Final = ("final_response", "error")
"""Types of the events that end a run; only browsers that want to hear of `answers` are notified of them."""

_b = schema.browsers.c
_n = schema.notices.c
_t = schema.threads.c


@frozen
class Browser:
    """A browser that is notified, at a push service. `sealed` has its address and keys."""

    owner: str
    id: str
    host: str
    sealed: bytes = field(repr=False)
    answers: bool
    created_at: float


@frozen
class PutBrowser(Write):
    """Store a browser, in place of the one with its id. The answer is True."""

    browser: Browser

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        add_users(connection, [(self.browser.owner, self.browser.created_at)])
        # The lock makes two nodes count one after the other.
        connection.execute(select(schema.users.c.id).where(schema.users.c.id == self.browser.owner).with_for_update())
        values: dict[str, Any] = {
            "host": self.browser.host,
            "sealed": self.browser.sealed,
            "answers": self.browser.answers,
        }
        row = values | {"owner": self.browser.owner, "id": self.browser.id, "created_at": Now()}
        insert = put(connection, schema.browsers).values(**row)
        connection.execute(insert.on_conflict_do_update(index_elements=["owner", "id"], set_=values))
        mine = (
            select(_b.id)
            .where(_b.owner == self.browser.owner, _b.id != self.browser.id)
            .order_by(_b.created_at.desc(), _b.id)
        )
        for (name,) in connection.execute(mine.offset(MOST - 1)).all():
            connection.execute(delete(schema.browsers).where(_b.owner == self.browser.owner, _b.id == name))
        return True


@frozen
class DropBrowser(Write):
    """Remove a browser with its notices. The answer is whether it was there."""

    owner: str
    id: str

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        gone = delete(schema.browsers).where(_b.owner == self.owner, _b.id == self.id)
        return connection.execute(gone).rowcount > 0


@frozen
class PushNotice:
    """A notice of an event of a run to a browser; `age_s` is how long ago the event was.

    `title` is that of the thread; `seen`: its user has read up to this event.
    """

    owner: str
    thread_id: str
    seq: int
    run_id: str
    type: str
    attempts: int
    age_s: float
    title: str = field(repr=False)
    seen: bool
    browser: Browser


@frozen
class ClaimNotice(Write):
    """Claim a notice for one attempt: it is due again in `after_s`. The answer is whether nobody else has it."""

    notice: PushNotice
    after_s: float

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        this = update(schema.notices).where(*_of(self.notice), _n.attempts == self.notice.attempts)
        claimed = this.values(attempts=self.notice.attempts + 1, due_at=Now() + self.after_s)
        return connection.execute(claimed).rowcount > 0


@frozen
class DelayNotice(Write):
    """Set when a notice is due again, after a failed attempt. The answer is whether it is still there."""

    notice: PushNotice
    after_s: float

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        delayed = update(schema.notices).where(*_of(self.notice)).values(due_at=Now() + self.after_s)
        return connection.execute(delayed).rowcount > 0


@frozen
class EndNotice(Write):
    """Remove a notice that was sent or is given up. The answer is whether it was there."""

    notice: PushNotice

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        return connection.execute(delete(schema.notices).where(*_of(self.notice))).rowcount > 0


_wanted = select(
    _b.owner, bindparam("of_thread", type_=Text), bindparam("number", type_=Integer), _b.id,
    bindparam("run", type_=Text), bindparam("kind", type_=Text), Now(),
    Now() + bindparam("delay", type_=Float), literal(0),
).where(_b.owner == bindparam("of"))  # fmt: skip
_for_answers = _wanted.where(_b.answers == true())
_COLUMNS: Final = ("owner", "thread_id", "seq", "browser", "run_id", "type", "created_at", "due_at", "attempts")


_queueing: Final[dict[tuple[str, bool], Prepared]] = {}
"""The statements of `queue` by database, made once: each run that ends executes one."""


def queue(connection: Connection, events: Iterable[dict[str, Any]]) -> None:
    """Queue the notices of events, given as rows of `events`, for the browsers of their user."""
    for row in events:
        if row["run_id"] is None or row["type"] not in (*ASKS, *ANSWERS):
            continue
        asks = row["type"] in ASKS
        if (statement := _queueing.get((connection.dialect.name, asks))) is None:
            of = put(connection, schema.notices).from_select(_COLUMNS, _wanted if asks else _for_answers)
            statement = _queueing[connection.dialect.name, asks] = Prepared(of.on_conflict_do_nothing())
        values = {"of": row["owner"], "of_thread": row["thread_id"], "number": row["seq"], "run": row["run_id"]}
        statement.run(connection, [values | {"kind": row["type"], "delay": DELAY_S}])


def browsers(connection: Connection, owner: str) -> list[Browser]:
    """Return the browsers of a user, oldest first."""
    found = select(*_BROWSER).where(_b.owner == owner).order_by(_b.created_at, _b.id)
    return [Browser(*row) for row in connection.execute(found)]


def are_any(connection: Connection) -> bool:
    """Return whether there are browsers."""
    return connection.execute(select(_b.id).limit(1)).first() is not None


def due(connection: Connection) -> list[PushNotice]:
    """Return notices that are due, those of fewest attempts first, at most LARGEST_BATCH."""
    columns = (
        _n.owner, _n.thread_id, _n.seq, _n.run_id, _n.type, _n.attempts, Now() - _n.created_at, _t.title,
        _t.read_seq >= _n.seq,
    )  # fmt: skip
    wanted = (
        select(*columns, *_BROWSER)
        .join(schema.browsers, (_b.owner == _n.owner) & (_b.id == _n.browser))
        .join(schema.threads, (_t.owner == _n.owner) & (_t.id == _n.thread_id))
        .where(_n.due_at <= Now())
        .order_by(_n.attempts, _n.due_at)
        .limit(LARGEST_BATCH)
    )
    return [_notice(*row) for row in connection.execute(wanted)]


def _notice(
    owner: str, thread_id: str, seq: int, run_id: str, kind: str, attempts: int, age_s: float, title: str, seen: bool,
    *browser: Any,
) -> PushNotice:  # fmt: skip
    whole = (owner, thread_id, seq, run_id, kind, attempts, age_s, title)
    return PushNotice(*whole, seen=bool(seen), browser=Browser(*browser))


def _of(notice: PushNotice) -> tuple[Any, ...]:
    return (
        _n.owner == notice.owner, _n.thread_id == notice.thread_id, _n.seq == notice.seq,
        _n.browser == notice.browser.id,
    )  # fmt: skip


_BROWSER: Final = (_b.owner, _b.id, _b.host, _b.sealed, _b.answers, _b.created_at)
