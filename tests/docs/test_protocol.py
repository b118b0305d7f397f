"""The protocol reference against the vocabulary it describes."""

from tests.rigs.doc_tables import code, table
from understudy.wire.dialects import ENDPOINTS, SUBPROTOCOLS, Dialect

PAGE = "reference/protocol.md"


def test_dialects_and_endpoints_are_those_of_the_handshake() -> None:
    named = {"canonical": Dialect.CANONICAL, "payload": Dialect.PAYLOAD, "flat": Dialect.FLAT}
    named |= {"agent response": Dialect.AGENT_RESPONSE, "agent events": Dialect.AGENT_EVENTS}
    rows = {row["dialect"]: code(row["chosen by"]) for row in table(PAGE, "Dialects")}
    assert set(rows) == set(named)
    for name, ways in rows.items():
        for way in ways:
            if way.startswith("?dialect="):
                assert ENDPOINTS.negotiate("/ws", (), {"dialect": way.partition("=")[2]}).dialect is named[name]
            elif way in SUBPROTOCOLS:
                assert SUBPROTOCOLS[way] is named[name]
    for row in table(PAGE, "Endpoints"):
        for path in code(row["path"]):
            if path.startswith("WS "):
                choice = ENDPOINTS.negotiate(path.removeprefix("WS "), (), {})
                assert choice.dialect is next(d for n, d in named.items() if f"{n} dialect" in row["serves"])
