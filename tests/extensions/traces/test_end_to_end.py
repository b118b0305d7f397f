"""Traces at a collector: from the socket to the store, over a kill, a restart and a change of node."""

import json
import re
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme
from typed_settings import SecretStr

from tests.rigs import http
from tests.rigs.actor_kinds import KINDS, find
from tests.rigs.chat_client import connected
from tests.rigs.collector import Collector, Received
from tests.rigs.process import started
from tests.rigs.receiver import Receiver
from tests.rigs.resumable_agent import CALLS
from tests.rigs.scripted_model import Call, Gate, Hand, Raise, Say, ScriptedModel, echo, scripted, wait
from tests.rigs.server_pair import SECRET, token_of, two_servers
from tests.rigs.watcher import AGENT, Watcher, calling, ended, shown
from tests.servers.postgresql import Postgres
from tests.servers.redis import Redis
from understudy import Agent, mcp
from understudy.extensions.notices.settings import WebhookSettings
from understudy.models.model import Emit, ModelUnavailable, Reply, Turn
from understudy.observe.spans import INTERRUPTED, SpanContext, is_sampled, span_of

SERVERS = Path(__file__).resolve().parents[2] / "servers"
HELD = "tests.end_to_end.held_agent:agent"
CALLER = SpanContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")


@pytest.fixture
async def collector(nursery: trio.Nursery) -> Collector:
    running = Collector()
    await running.start(nursery)
    return running


def run_ended(collector: Collector, run_id: str) -> bool:
    """Return whether the span of the run's agent, and the commit of its end, have arrived."""
    spans = collector.of_run(run_id)
    agents = [span for span in spans if span.name.startswith("invoke_agent") and span.error != INTERRUPTED]
    commits = [span for span in spans if span.name == "commit" and span.parent in {agent.id for agent in agents}]
    return bool(agents and commits and any(span.name == "message" for span in spans))


def no_orphans(spans: list[Received]) -> None:
    """Check that there is one root, that each other span has its parent, and that no id is there twice."""
    ids = [span.id for span in spans]
    assert len(set(ids)) == len(ids), "each span is sent once"
    roots = [span for span in spans if not span.parent]
    assert [root.name for root in roots] == ["message"]
    assert [span.name for span in spans if span.parent and span.parent not in ids] == []


async def whole_trace(collector: Collector, run_id: str, agents: int = 1) -> list[Received]:
    """Wait until the run, and the work of this many agents, have ended. Return its spans, after a check of the tree."""
    await collector.until_it(lambda c: run_ended(c, run_id) and len(c.named("invoke_agent")) == agents)
    spans = collector.of_run(run_id)
    no_orphans(spans)
    return spans


async def say(address: str, token: str | None = None, agent: str = "script", text: str = "go", **payload: Any) -> Any:
    async with connected(address, token) as client:
        return await client.ask(text, agent_type=agent, thread_id="t", **payload)


async def test_a_trace_goes_from_the_socket_to_the_store(serve: Any, collector: Collector) -> None:
    agent = scripted(Call([("echo", {"text": "a secret word"})]), Say("a secret answer"))
    running = await serve(agent, otlp_endpoint=collector.origin)
    end = await say(running.address, text="a secret question", metadata={"traceparent": CALLER.header})
    run_id = end["run_id"]
    assert await whole_trace(collector, run_id) == collector.spans, "one trace"
    root, worker, tool = collector.one("message"), collector.one("invoke_agent"), collector.one("execute_tool")
    assert (root.trace, root.id, root.kind) == (run_id, span_of(run_id).span_id, "SERVER")
    assert root.links == (CALLER.span_id,)
    assert (worker.name, worker.parent, worker.error) == ("invoke_agent script", root.id, "")
    chats = collector.named("chat")
    assert [(span.name, span.parent, span.kind) for span in chats] == [("chat script", worker.id, "CLIENT")] * 2
    assert (tool.name, tool.parent) == ("execute_tool echo", worker.id)
    assert tool.attributes["gen_ai.tool.name"] == "echo"
    assert worker.attributes["gen_ai.operation.name"] == "invoke_agent"
    assert worker.attributes["gen_ai.usage.output_tokens"] == sum(
        span.attributes["gen_ai.usage.output_tokens"] for span in chats
    )
    commits = collector.named("commit")
    assert [commit.parent for commit in commits] == [root.id, *[worker.id] * (len(commits) - 1)]
    assert len(commits) >= 4
    assert {commit.attributes["db.system.name"] for commit in commits} == {"sqlite"}
    assert collector.services[0]["service.name"] == "understudy"
    assert "secret" not in str(collector.spans)


async def test_texts_are_in_spans_only_if_asked_for_and_as_they_are_stored(serve: Any, collector: Collector) -> None:
    mail = "ada@example.org"
    agent = scripted(Call([("echo", {"text": f"to {mail}"})]), Say(f"written to {mail}"))
    running = await serve(agent, otlp_endpoint=collector.origin, otlp_content=True, scrub_policy="strict")
    end = await say(running.address, text=f"write to {mail}")
    await collector.until_it(lambda c: run_ended(c, end["run_id"]))
    worker, tool = collector.one("invoke_agent").attributes, collector.one("execute_tool").attributes
    (message,) = json.loads(worker["gen_ai.input.messages"])
    assert message["role"] == "user"
    assert message["parts"][0]["content"].startswith("write to ")
    assert "written to" in worker["gen_ai.output.messages"]
    assert "to " in tool["gen_ai.tool.call.arguments"]
    assert "to " in tool["gen_ai.tool.call.result"]
    assert "written to" in collector.named("chat")[-1].attributes["gen_ai.output.messages"]
    assert mail not in str(collector.spans)


async def test_failures_are_the_errors_of_their_spans(serve: Any, collector: Collector) -> None:
    away = scripted(Raise(ModelUnavailable("The model is away.", False, "away")), name="away")
    running = await serve(scripted(Call([("crash", {})]), Say("so")), away, otlp_endpoint=collector.origin)
    await say(running.address)
    await say(running.address, agent="away")
    async with connected(running.address) as client:
        refused = await client.ask("go", agent_type="script", thread_id="t2", parent_id="answer-nowhere", until="error")
    assert refused["data"]["code"] == "not_found"
    await collector.until_it(lambda c: len(c.named("message")) == 3 and len(c.named("invoke_agent")) == 2)
    assert collector.one("execute_tool crash").error == "failed"
    assert collector.one("execute_tool crash").attributes["error.type"] == "failed"
    assert [span.error for span in collector.named("message")] == ["", "", "not_found"]
    assert collector.one("invoke_agent away").error == "no_model"
    assert [span.error for span in collector.named("chat") if span.error] == ["ModelUnavailable"]


async def test_a_handoff_is_two_agents_below_one_message(serve: Any, collector: Collector) -> None:
    first = Agent("first", colleagues=["other"], model=ScriptedModel(Hand("other")))
    running = await serve(first, scripted(Say("here"), name="other"), otlp_endpoint=collector.origin)
    end = await say(running.address, agent="first")
    await whole_trace(collector, end["run_id"], agents=2)
    assert [span.name for span in collector.named("invoke_agent")] == ["invoke_agent first", "invoke_agent other"]


@pytest.mark.proof("timing")
@pytest.mark.parametrize("orderly", [False, True], ids=["killed", "stopped"])
async def test_one_trace_over_three_servers(orderly: bool, tmp_path: Path, collector: Collector) -> None:
    environment = {"UNDERSTUDY_OTLP_ENDPOINT": collector.origin, CALLS: str(tmp_path / "calls")}
    environment |= {"UNDERSTUDY_GRACE_S": "0.4"} if orderly else {}
    moments: list[Callable[[Collector], object]] = [
        lambda c: c.named("message") and c.named("chat") and len(c.named("commit")) == 2,
        lambda c: len(c.named("execute_tool")) == 2,
    ]
    watcher, token = Watcher(), ""
    for number in range(3):
        async with started(tmp_path / "data", HELD, **environment) as server:
            if not token:
                token = await http.new_token(server)
            async with connected(server.address, token) as client:
                if number:
                    await client.send({"type": "resume", "payload": {"threads": {"t": watcher.seq}}})
                else:
                    await client.say("go", agent_type="held", thread_id="t", message_id="m")
                await watcher.until(client, (calling("hold"), shown(5), ended)[number])
                if number < 2:
                    await collector.until_it(moments[number])
                    assert not [span for span in collector.named("invoke_agent") if not span.error]
                if number == 2 or orderly:
                    assert await server.terminate() == 0
                else:
                    await server.kill()
    run_id = watcher.events[0]["run_id"]
    assert (watcher.events[-1]["type"], watcher.screen.text) == ("final_response", "This is said. ")
    assert run_ended(collector, run_id)
    spans = collector.of_run(run_id)
    assert spans == collector.spans
    no_orphans(spans)
    first, second, third = collector.named("invoke_agent held")
    assert [first.error, second.error, third.error] == [INTERRUPTED, INTERRUPTED, ""]
    assert third.links == (second.id,), "the link of the second went down with its server"
    assert {first.parent, second.parent, third.parent} == {collector.one("message").id}
    cut, completed = collector.named("execute_tool hold")
    assert [cut.error, completed.error] == [INTERRUPTED, ""]
    assert [cut.parent, completed.parent] == [first.id, second.id]
    assert completed.links == (cut.id,)
    chats = [(span.parent, span.error) for span in collector.named("chat")]
    assert chats == [(first.id, ""), *([(second.id, "cancelled")] if orderly else []), (third.id, "")]
    instances = {service["service.instance.id"] for service in collector.services}
    assert len(instances) == 3


async def test_a_run_that_crashes_goes_on_in_its_trace(serve: Any, collector: Collector) -> None:
    class Broken(ScriptedModel):
        async def respond(self, turn: Turn, emit: Emit) -> Reply:
            if len(self.inputs) == 1:
                self.inputs.append(turn)
                raise RuntimeError("broken")
            return await super().respond(turn, emit)

    model = Broken(Call([("echo", {"text": "x"})]), Say("done"))
    running = await serve(Agent("script", tools=[echo], model=model), otlp_endpoint=collector.origin)
    end = await say(running.address)
    assert end["type"] == "final_response"
    await whole_trace(collector, end["run_id"], agents=2)
    first, second = collector.named("invoke_agent")
    assert (first.error, second.error, second.links) == ("RuntimeError", "", (first.id,))
    assert [span.parent for span in collector.named("chat")] == [first.id, first.id, second.id]


async def test_a_run_that_is_killed_with_a_subagent_goes_on_in_its_trace(serve: Any, collector: Collector) -> None:
    gate = Gate()
    helper = Agent("helper", tools=[echo], model=ScriptedModel(Call([("echo", {"text": "x"})]), Say("helped", gate)))
    calls = Call([("ask_helper", {"request": "help"})])
    asking = Agent("script", tools=[helper.as_tool()], model=ScriptedModel(calls, Say("done")))
    running = await serve(asking, otlp_endpoint=collector.origin)
    async with connected(running.address) as client:
        await client.say("go", agent_type="script", thread_id="t")
        await gate.reached.wait()
        (run,) = find(running, KINDS["run"])
        run.kill()
        gate.opened.set()
        end = await client.until_end()
    assert end["type"] == "final_response"
    await whole_trace(collector, end["run_id"], agents=4)
    for name in ("invoke_agent script", "invoke_agent helper", "execute_tool ask_helper"):
        cut, completed = collector.named(name)
        assert (cut.error, completed.error, completed.links) == (INTERRUPTED, "", (cut.id,)), name
    assert collector.one("execute_tool echo").parent == collector.named("invoke_agent helper")[0].id
    assert collector.named("invoke_agent helper")[0].parent == collector.named("execute_tool ask_helper")[0].id


async def test_a_call_that_is_out_of_time_ends_its_agent_too(serve: Any, collector: Collector) -> None:
    helper = Agent("helper", tools=[wait], model=ScriptedModel(Call([("wait", {})]), Say("helped")), timeout_s=0.5)
    calls = Call([("ask_helper", {"request": "help"})])
    asking = Agent("script", tools=[helper.as_tool()], model=ScriptedModel(calls, Say("done")))
    running = await serve(asking, otlp_endpoint=collector.origin)
    end = await say(running.address)
    await whole_trace(collector, end["run_id"], agents=2)
    assert collector.one("execute_tool ask_helper").error == "timed_out"
    assert collector.one("execute_tool wait").error
    assert collector.one("invoke_agent helper").error


async def test_a_run_that_its_user_cancels_ends_its_spans(serve_client: Any, collector: Collector) -> None:
    agent = Agent("script", tools=[wait], model=ScriptedModel(Call([("wait", {})])))
    async with serve_client(agent, otlp_endpoint=collector.origin) as client:
        begun = await client.ask("go", agent_type="script", thread_id="t", until="tool_executing")
        await client.send({"type": "cancel", "payload": {"run_id": begun["run_id"]}})
        await client.until_end()
    await whole_trace(collector, begun["run_id"])
    assert collector.one("execute_tool wait").error == collector.one("invoke_agent script").error == "cancelled"


async def test_one_trace_over_two_nodes(
    serve: Any, tmp_path: Path, postgres: Postgres, template: str, redis: Redis, collector: Collector
) -> None:
    redis.flush()
    agent = scripted(Say("here"))
    two = await two_servers(
        serve, tmp_path, postgres.create(template), redis.url, agent, otlp_endpoint=collector.origin
    )
    await say(two.a.address, token_of())
    end = await say(two.b.address, token_of())
    run_id = end["run_id"]
    await collector.until_it(lambda c: run_ended(c, run_id) and c.named("forward Accept") and c.named("execute Accept"))
    spans = collector.of_run(run_id)
    no_orphans(spans)
    (sent,) = (span for span in spans if span.name == "forward Accept")
    (execution,) = (span for span in spans if span.name == "execute Accept")
    assert (sent.parent, sent.kind) == (span_of(run_id).span_id, "CLIENT")
    assert (execution.parent, execution.kind) == (sent.id, "SERVER")
    assert {span.attributes["db.system.name"] for span in spans if span.name == "commit"} == {"postgresql"}
    async with connected(two.b.address, token_of()) as client:
        await client.say("go", agent_type="script", thread_id="t", parent_id="answer-nowhere")
        assert (await client.until("error"))["data"]["code"] == "not_found"
    await collector.until_it(lambda c: len(c.named("execute Accept")) == 2 and len(c.named("message")) == 3)
    refused = [(span.name, span.error) for span in collector.spans if span.error]
    assert sorted(refused) == [
        ("execute Accept", "CommandRejected"),
        ("forward Accept", "CommandRejected"),
        ("message", "not_found"),
    ]


@pytest.mark.proof("timing")
async def test_one_trace_over_a_change_of_node(
    tmp_path: Path, postgres: Postgres, template: str, redis: Redis, collector: Collector
) -> None:
    redis.flush()
    shared = {"UNDERSTUDY_DATABASE_URL": postgres.create(template), "UNDERSTUDY_NODES_REDIS_URL": redis.url}
    shared |= {
        "UNDERSTUDY_SECRET": SECRET,
        "UNDERSTUDY_OTLP_ENDPOINT": collector.origin,
        CALLS: str(tmp_path / "calls"),
    }
    (tmp_path / "calls").write_text("answer\n")  # so that the model answers the first time
    async with started(tmp_path / "a", HELD, **shared) as a, started(tmp_path / "b", HELD, **shared) as b:
        async with connected(a.address, token_of()) as client:
            begun = await client.ask("go", agent_type="held", thread_id="t", until="tool_executing")
            await collector.until_it(lambda c: c.named("message") and c.named("chat") and len(c.named("commit")) == 2)
            await a.kill()
        async with connected(b.address, token_of()) as client:
            await client.send({"type": "resume", "payload": {"threads": {"t": begun["seq"]}}})
            end = await client.until_end()
        assert end["type"] == "final_response"
        await collector.until_it(lambda c: run_ended(c, end["run_id"]))
        await b.terminate()
    spans = collector.of_run(end["run_id"])
    assert spans == collector.spans
    no_orphans(spans)
    on_a, on_b = collector.named("invoke_agent held")
    assert (on_a.error, on_b.error, on_b.links) == (INTERRUPTED, "", (on_a.id,))
    cut, completed = collector.named("execute_tool hold")
    assert (cut.error, completed.error, completed.links) == (INTERRUPTED, "", (cut.id,))
    assert len({service["service.instance.id"] for service in collector.services}) == 2


@pytest.mark.proof("timing")
async def test_a_collector_that_hangs_delays_nothing_and_its_spans_are_counted(
    tmp_path: Path, collector: Collector
) -> None:
    collector.hanging, log = True, tmp_path / "log"
    environment = {"UNDERSTUDY_OTLP_ENDPOINT": collector.origin, "UNDERSTUDY_GRACE_S": "4"}
    async with started(tmp_path / "data", AGENT, log=log, **environment) as server:
        _, _, session = await http.request(server.address, "POST", "/api/sessions")
        for _ in range(3):
            assert (await say(server.address, session["session_token"], agent="resumable"))["type"] == "final_response"
        await collector.until_it(lambda c: c.asked)
        with trio.fail_after(60):
            assert await server.terminate() == 0
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    dropping = [line for line in lines if line["event"] == "traces.dropping"]
    assert [record["level"] for record in dropping] == ["warning"]
    assert not [line for line in lines if line["logger"].startswith("opentelemetry")]


async def test_spans_that_a_collector_refuses_are_counted_by_the_metric(serve: Any, collector: Collector) -> None:
    collector.done = 400
    running = await serve(scripted(Say("here")), otlp_endpoint=collector.origin)
    await say(running.address)
    assert re.search(r'spans_dropped_total\{reason="collector"\} [1-9]', await dropped(running.address))


async def dropped(address: str) -> str:
    """Wait until spans that the collector did not take are counted. Return the metrics."""
    wanted, metrics = 'understudy_trace_spans_dropped_total{reason="collector"}', ""
    with trio.fail_after(60):
        while wanted not in metrics:
            _, _, page = await http.request(address, "GET", "/metrics")
            metrics = str(page)
    return metrics


def of_authority(authority: trustme.CA, name: str = "localhost") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


async def test_a_collector_with_a_certificate_of_a_private_authority_gets_traces(
    serve: Any, nursery: trio.Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for others in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # they go before the variable
        monkeypatch.delenv(others, raising=False)
    authority, authority_file = trustme.CA(), tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(authority_file))
    tls = of_authority(authority)
    tls.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(tls)
    client = authority.issue_cert("understudy")
    client.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "client.pem"))
    collector = Collector(tls=tls)
    await collector.start(nursery)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(authority_file))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", str(tmp_path / "client.pem"))
    running = await serve(scripted(Say("here")), otlp_endpoint=collector.secure)
    end = await say(running.address)
    await whole_trace(collector, end["run_id"])
    assert collector.broken == 0


@pytest.mark.parametrize("trouble", ["another authority", "another name", "no TLS", "no handshake"])
async def test_without_a_connection_by_tls_spans_are_dropped_and_counted(
    trouble: str, serve: Any, nursery: trio.Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for others in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(others, raising=False)
    authority = trustme.CA()
    (trustme.CA() if trouble == "another authority" else authority).cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(tmp_path / "ca.pem"))
    monkeypatch.setattr("understudy.extensions.traces.otlp.SEND_S", 0.5)
    tls = None if trouble == "no TLS" else of_authority(authority, "example.org" if "name" in trouble else "localhost")
    collector = Collector(hanging=trouble == "no handshake", tls=tls)
    await collector.start(nursery)
    running = await serve(scripted(Say("one"), Say("two")), otlp_endpoint=collector.secure)
    for _ in range(2):
        assert (await say(running.address))["type"] == "final_response"
        await dropped(running.address)
    assert collector.asked
    assert (collector.spans, collector.got) == ([], [])


async def test_a_share_of_runs_is_traced_whole_and_the_others_not_at_all(serve: Any, collector: Collector) -> None:
    """Spans are sent in order: when those of a later run have come, those of an earlier one would have."""
    running = await serve(scripted(Say("here")), otlp_endpoint=collector.origin, otlp_ratio=0.5)
    chosen: dict[str, bool] = {}
    while list(chosen.values())[-2:] != [False, True]:
        end = await say(running.address)
        chosen[end["run_id"]] = is_sampled(end["run_id"], 0.5)
        assert len(chosen) < 100
    await collector.until_it(lambda c: all(run_ended(c, run_id) for run_id, traced in chosen.items() if traced))
    assert {span.trace for span in collector.spans} == {run_id for run_id, traced in chosen.items() if traced}


async def test_a_request_over_http_links_to_its_caller(serve: Any, collector: Collector) -> None:
    running = await serve(scripted(Say("here")), otlp_endpoint=collector.origin)
    _, _, session = await http.request(running.address, "POST", "/api/sessions")
    body = json.dumps({"type": "user_message", "payload": {"content": "go", "agent_type": "script"}}).encode()
    headers = {"traceparent": CALLER.header}
    token = session["session_token"]
    status, _, _ = await http.request(running.address, "POST", "/api/commands", token=token, body=body, headers=headers)
    assert status == 202
    await collector.until_it(lambda c: c.named("message"))
    assert collector.one("message").links == (CALLER.span_id,)


async def test_webhooks_have_the_span_that_sends_them(
    serve: Any, nursery: trio.Nursery, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("understudy.extensions.notices.webhook_sender.EVERY_S", 0.02)
    monkeypatch.setattr("understudy.extensions.notices.webhook_sender.FIRST_S", 0.02)
    receiver = Receiver([500])
    await receiver.start(nursery)
    hooks = {WebhookSettings: WebhookSettings([receiver.origin], SecretStr("s" * 32), True)}
    running = await serve(scripted(Say("here")), otlp_endpoint=collector.origin, own=hooks)
    end = await say(running.address, settings={"webhook": receiver.url})
    await receiver.until(2)
    await collector.until_it(lambda c: len(c.named("webhook")) == 2 and run_ended(c, end["run_id"]))
    no_orphans(collector.of_run(end["run_id"]))
    sent = [SpanContext(span.trace, span.id).header for span in collector.named("webhook")]
    assert sent == [head["traceparent"] for head, _ in receiver.got]
    assert [span.error for span in collector.named("webhook")] == ["not_delivered", ""]


async def test_mcp_servers_are_told_of_the_calls_span(serve_client: Any, collector: Collector) -> None:
    server = mcp([sys.executable, str(SERVERS / "mcp_traced.py")], name="traced")
    agent = Agent("script", tools=[server], model=ScriptedModel(Call([("traced_tell", {})]), Say("done")))
    async with serve_client(agent, otlp_endpoint=collector.origin) as client:
        completed = await client.ask("go", agent_type="script", thread_id="t", until="tool_completed")
        end = await client.until_end()
    await collector.until_it(lambda c: run_ended(c, end["run_id"]))
    call = collector.one("execute_tool traced_tell")
    assert SpanContext(call.trace, call.id).header in str(completed["data"]["result"])
