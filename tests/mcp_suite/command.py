"""The client that the suite starts for each scenario: command.py PORT URL. The driver at the port plays it."""

import json
import os
import socket
import sys

port, url = sys.argv[1:]
scenario = os.environ["MCP_CONFORMANCE_SCENARIO"]
given = {"url": url, "scenario": scenario, "context": json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")}
with socket.create_connection(("127.0.0.1", int(port))) as driver:
    driver.sendall(json.dumps(given).encode() + b"\n")
    said = driver.makefile().read()
print(said)
sys.exit(bool(said))
