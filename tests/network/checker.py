"""Check the result of a soak: the logs, read over REST, against the events each client received."""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

from attrs import define, field

from tests.network.planned_agent import answer_to, planned
from tests.network.received import TERMINAL, JsonObject, Ledger, ReceivedLog, TextMismatch, received_event
from tests.rigs.http import request

AFTER_THE_END = ("undo_started", "call_undone", "call_settled")
"""Events of a run that may come after its end."""


@define(eq=False)
class Checker:
    """`logs` are the events of each thread of each user on the server; `faults` is the verdict.

    `resumed` are the runs that lost their server or their actor, `outdated` the texts that a client still showed of a
    server that had died.
    """

    ledger: Ledger
    address: str
    logs: dict[tuple[str, str], list[JsonObject]] = field(factory=dict)
    resumed: set[str] = field(factory=set)
    outdated: list[str] = field(factory=list)
    faults: list[str] = field(factory=list)

    async def read(self, user: str, token: str, thread_id: str, page: int = 500) -> None:
        """Read the rest of a thread's log, page by page."""
        log = self.logs.setdefault((user, thread_id), [])
        while True:
            path = f"/api/threads/{thread_id}/events?after={len(log)}&limit={page}"
            status, _, body = await request(self.address, "GET", path, token=token)
            if status == 404:
                return  # the thread has no message yet
            assert status == 200, body
            log += body["events"]
            if not body["events"]:
                return

    def read_resumed(self, where: Path) -> None:
        """Read from the servers' logs which runs were resumed."""
        for log in where.glob("server-*.log"):
            for line in log.read_text(errors="replace").splitlines():
                if '"run.taken_up"' in line and line.endswith("}"):  # the last line of a killed server may be cut
                    self.resumed.add(json.loads(line)["run_id"])

    def lacking(self) -> list[str]:
        """Return the clients that are behind the log."""
        return [
            f"{held.name} has {held.last(thread_id)} of {len(log)} of {thread_id}"
            for held, user, threads in self.ledger.received
            for thread_id in threads
            if held.last(thread_id) < len(log := self.logs[user, thread_id]) and held.current
        ]

    def open_runs(self) -> set[str]:
        """Return the runs without an end in the log as read so far."""
        events = [event for log in self.logs.values() for event in log]
        ended = {event["run_id"] for event in events if event["type"] in TERMINAL}
        return {event["run_id"] for event in events} - ended

    def open_undos(self) -> set[str]:
        """Return the calls whose undo has begun and has no outcome in the log as read so far."""
        waiting: set[str] = set()
        for event in (event for log in self.logs.values() for event in log):
            if event["type"] == "undo_started":
                waiting.update(event["data"]["call_ids"])
            elif event["type"] == "call_undone":
                waiting -= {event["data"]["call_id"], *event["data"].get("kept", ())}
        return waiting

    def ended_once(self) -> int:
        """Count the messages that were said which are accepted by one run, and that has one terminal event."""
        runs, ends = defaultdict[str, list[str]](list), Counter[str]()
        for event in (event for log in self.logs.values() for event in log):
            if event["type"] == "message_accepted":
                runs[event["data"]["message_id"]].append(event["run_id"])
            ends[event["run_id"]] += event["type"] in TERMINAL
        return sum([ends[run] for run in runs[name]] == [1] for name in self.ledger.said)

    def check(self) -> None:
        """Compare all logs with all clients; violations are in `faults`."""
        for (user, thread_id), log in self.logs.items():
            self._check_log(user, thread_id, log)
        digests = {key: [received_event(event) for event in log] for key, log in self.logs.items()}
        for held, user, threads in self.ledger.received:
            self.faults += held.faults
            for mismatch in held.mismatches:
                self._check_text(mismatch, self.logs[user, _thread_of(held, mismatch.run_id)])
            for thread_id in threads:
                self._check_received(held, thread_id, [mismatch.digest for mismatch in digests[user, thread_id]])
        accepted = Counter(
            event["data"]["message_id"]
            for log in self.logs.values()
            for event in log
            if event["type"] == "message_accepted"
        )
        self.faults += [
            f"{name} was said and accepted {accepted[name]} times" for name in self.ledger.said if accepted[name] != 1
        ]
        messages = self.ledger.said.keys() | self._successors()
        self.faults += [f"{name} was accepted and never said" for name in accepted if name not in messages]
        self.faults += self.ledger.faults

    def check_notes(self, notes: Sequence[str]) -> None:
        """Check the calls of the tool that is not retry-safe (`run_id call_id` for each call) against the logs."""
        done, runs = Counter(notes), Counter(name.partition(" ")[0] for name in notes)
        self.faults += [f"the call {name} was made {times} times" for name, times in done.items() if times > 1]
        self.faults += [f"run {name} made its call {times} times" for name, times in runs.items() if times > 1]
        ended = {
            f"{event['run_id']} {event['data']['call_id']}"
            for log in self.logs.values()
            for event in log
            if (event["type"], event["data"].get("tool_name"), event["data"].get("status"))
            == ("tool_completed", "note", "ok")
        }
        self.faults += [f"the call {name} has a result and was not made" for name in ended - done.keys()]
        self.ledger.counts["calls that must not be made twice"] += len(done)

    def check_bank(self, asked: Sequence[str], booked: Collection[str]) -> None:
        """Check the bank of the planned agent against the logs: `booked` are names like `CALL.paid`.

        `asked` are its notes in order: a payment was `not paid` when it was asked about, or came `again`.
        """
        events = [event for log in self.logs.values() for event in log]
        paid = {row["data"]["call_id"] for row in events if _is_paid(row)}
        started = {call for row in events if row["type"] == "undo_started" for call in row["data"]["call_ids"]}
        ends = [row["data"] for row in events if row["type"] == "call_undone"]
        undone = Counter(data["call_id"] for data in ends if data["status"] == "ok")
        unmade = [call for call in paid if f"{call}.paid" not in booked]
        self.faults += [f"the payment {call} has a result and was not made" for call in unmade]
        self.faults += [
            f"the payment {call} was undone and is not" for call in undone if f"{call}.undone" not in booked
        ]
        self.faults += [f"the payment {call} was undone {times} times" for call, times in undone.items() if times > 1]
        unasked = {entry.removesuffix(".undone") for entry in booked if entry.endswith(".undone")} - started
        self.faults += [f"the payment {call} was undone unasked" for call in unasked]
        not_paid: set[str] = set()
        for line in asked:
            what, _, call_id = line.rpartition(" ")
            if what == "not paid":
                not_paid.add(call_id)
            elif what == "paid again" and call_id not in not_paid:
                self.faults.append(f"the payment {call_id} was made twice, and the bank was not asked before")
        self.ledger.counts["payments"] += sum(entry.endswith(".paid") for entry in booked)
        self.ledger.counts["payments that were asked about and not made yet"] += len(not_paid)
        self.ledger.counts["payments undone"] += len(undone)

    def _successors(self) -> set[str]:
        """Return the messages that steers became whose run had ended first."""
        return {
            str(event["data"]["message_id"])
            for log in self.logs.values()
            for event in log
            if event["type"] == "steer_withdrawn" and event["data"].get("message_id")
        }

    def _check_received(self, held: ReceivedLog, thread_id: str, log: list[str]) -> None:
        events = held.events.get(thread_id, [])
        numbers, start = [event.seq for event in events], held.starts.get(thread_id, 0) + 1
        if numbers != list(range(start, len(numbers) + start)):
            wrong = next(n for n, seq in enumerate(numbers, start) if seq != n)
            self.faults.append(f"{held.name} in {thread_id}: {numbers[wrong - start]} is in the place of {wrong}")
        if held.current and held.last(thread_id) < len(log):
            self.faults.append(f"{held.name} has {held.last(thread_id)} of {len(log)} events of {thread_id}")
        for event in events:
            if event.seq > len(log):
                self.faults.append(f"{held.name} was given {event.seq} of {thread_id}, which has {len(log)}")
            elif event.digest != log[event.seq - 1]:
                self.faults.append(f"{held.name}: {event.seq} of {thread_id} ({event.kind}) is another one in the log")

    def _check_text(self, mismatch: TextMismatch, log: Sequence[JsonObject]) -> None:
        """Report a text that is no part of its answer, unless it is what the run had shown before it was resumed.

        A server that dies takes the text since the last checkpoint with it. A client that gets none of the text of the
        next one before the answer still shows the old text: not a mixture of both.
        """
        events = [event for event in log if event["run_id"] == mismatch.run_id]
        content = events[0]["data"].get("content", "") if events else ""
        steers = [event["data"]["steer_id"] for event in events if event["type"] == "steer_taken"]
        answer = answer_to(content) if content else ""
        answers = [answer] + [f"{answer} read: {','.join(steers[:n])}" for n in range(1, len(steers) + 1)]
        if events and events[0]["data"].get("message_id") in self._successors():
            answers.append(mismatch.whole.rpartition("\n\n")[2])  # its plan is that of an earlier message
        parts = mismatch.text.split("\n\n")
        if mismatch.run_id in self.resumed and all(any(event.startswith(part) for event in answers) for part in parts):
            self.ledger.counts["texts of a server that had died"] += 1
            self.outdated.append(str(mismatch))
            return
        kinds = [f"{event['seq']} {event['type']}" for event in events]
        resumed = "resumed" if mismatch.run_id in self.resumed else "not resumed"
        self.faults.append(f"{mismatch}; {resumed}, events: {kinds}")

    def _check_log(self, user: str, thread_id: str, log: list[JsonObject]) -> None:
        if [event["seq"] for event in log] != list(range(1, len(log) + 1)):
            self.faults.append(f"the log of {thread_id} of {user} has a gap")
        runs, successors = defaultdict(list), self._successors()
        for event in log:
            if event["type"] not in AFTER_THE_END:
                runs[event["run_id"]].append(event)
        for run_id, events in runs.items():
            problem = _problem(events)
            if problem:
                kinds = [event["type"] for event in events]
                self.faults.append(f"run {run_id} in {thread_id} of {user}: {problem}: {kinds}")
            accepted = events[0]["data"]
            types = self.ledger.told.get(accepted.get("message_id"), set())
            if not types <= {run_id}:
                self.faults.append(f"clients were told that {accepted['message_id']} has runs {types}, it has {run_id}")
            sent = self.ledger.said.get(accepted.get("message_id"))
            self._count(events)
            if accepted.get("message_id") in successors:
                continue  # its plan is that of an earlier message, and it is cancelled if its steer is withdrawn
            if events[-1]["data"].get("status") == "cancelled" and run_id not in self.ledger.cancelled:
                self.ledger.counts["runs that were cancelled, and no client stopped"] += 1
            if unfounded := self._unfounded(accepted, events[-1]["data"]):
                self.faults.append(f"run {run_id} in {thread_id} of {user} {unfounded}")
            if sent is None or (sent.user, sent.thread_id, sent.content) != (user, thread_id, accepted["content"]):
                self.faults.append(f"run {run_id} is of a message nobody said so: {sent}")
            elif events[-1]["data"].get("status") == "success" and not _is_answer(events, sent.content):
                self.faults.append(f"run {run_id} has another answer than its message leads to")
        self.ledger.counts["events in the logs"] += len(log)
        self.ledger.counts["runs"] += len(runs)
        for events in runs.values():
            end = events[-1]["data"]
            self.ledger.counts[f"runs that ended with {end.get('status') or end.get('code')}"] += 1

    @staticmethod
    def _unfounded(accepted: JsonObject, end: JsonObject) -> str:
        """Return what a run's end did not follow from, or an empty string."""
        plan = planned(accepted.get("content", ""))
        fails = plan.get("fail") == "1"
        if end.get("code") == "model_unavailable" and not fails:
            return "has lost its model, which was there"
        if end.get("status") == "success" and fails and int(plan["words"]) >= max(1, int(plan["pace"]) // 20):
            return "succeeded, and its model fails"
        return ""

    def _count(self, events: Sequence[JsonObject]) -> None:
        for event in events:
            if event["type"] in ("steer_taken", "steer_withdrawn", "question_answered"):
                self.ledger.counts[f"events {event['type']}"] += 1


def _thread_of(held: ReceivedLog, run_id: str) -> str:
    """Return the thread of a run whose end a client has received."""
    return next(name for name, events in held.events.items() if any(event.run_id == run_id for event in events))


def _is_paid(event: JsonObject) -> bool:
    """Return whether an event gives the result of a payment."""
    data = event["data"]
    done = data.get("status") == "ok" or data.get("effect") == "done"
    return event["type"] in ("tool_completed", "call_settled") and data["tool_name"] == "pay" and done


def _is_answer(events: Sequence[JsonObject], content: str) -> bool:
    """Return whether a run's answer is that to its message, and names each steer that was taken once, in order."""
    text, expected = events[-1]["data"]["message"], answer_to(content)
    steers = [event["data"]["steer_id"] for event in events if event["type"] == "steer_taken"]
    return bool(text.endswith(f"{expected} read: {','.join(steers)}") if steers else text == expected)


def _problem(events: list[JsonObject]) -> str:
    """Return the fault of a run's arc, or an empty string."""
    kinds = [event["type"] for event in events]
    began = Counter(event["data"]["call_id"] for event in events if event["type"] == "tool_executing")
    ended = Counter(event["data"]["call_id"] for event in events if event["type"] == "tool_completed")
    started = Counter(event["data"]["agent_id"] for event in events if event["type"] == "agent_started")
    completed = Counter(event["data"]["agent_id"] for event in events if event["type"] == "agent_completed")
    accepted = Counter(event["data"]["steer_id"] for event in events if event["type"] == "steer_accepted")
    settled = Counter(
        event["data"]["steer_id"] for event in events if event["type"] in ("steer_taken", "steer_withdrawn")
    )
    questions = Counter(event["data"]["question_id"] for event in events if event["type"] == "question_asked")
    answered = Counter(event["data"]["question_id"] for event in events if event["type"] == "question_answered")
    rules = {
        "a steer was accepted twice": max(accepted.values(), default=1) == 1,
        "a steer was not taken or withdrawn once": accepted == settled,
        "a question was asked twice": max(questions.values(), default=1) == 1,
        "a question was answered twice": max(answered.values(), default=1) == 1 and answered <= questions,
        "it does not begin with its acceptance": kinds[0] == "message_accepted"
        and kinds.count("message_accepted") == 1,
        "it has not one end": sum(kind in TERMINAL for kind in kinds) == 1,
        "it goes on after its end": kinds[-1] in TERMINAL,
        "no agent started": [kind for kind in kinds if not kind.startswith("steer_")][1:2] == ["agent_started"],
        "a tool call has no end": began == ended,
        "an agent has no end": started == completed,
    }
    return next((rule for rule, holds in rules.items() if not holds), "")
