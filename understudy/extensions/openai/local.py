"""Finds model servers on this machine (Ollama, llama.cpp, LM Studio) for the operator of a server without a model.

All three speak chat completions, and list their models at ``/v1/models``. Their default ports on the loopback address
are tried when the server starts and when the page asks.
"""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import trio
from attrs import define, field, frozen

from transport.auth.fetch import fetch
from transport.wire.errors import CommandRejected, FetchFailed
from understudy.models.providers import OFFLINE
from understudy.models.registry import Models
from understudy.storage.errors import ExtraNotInstalled

log = logging.getLogger(__name__)

PORTS: Final[Mapping[int, str]] = {11434: "Ollama", 8080: "llama.cpp", 1234: "LM Studio"}
"""The default port of each program."""
MAX_BYTES: Final = 1024 * 1024
WITHIN_S: Final = 2.0
MAX_MODELS: Final = 20
"""Limit of offered models of one server."""
MAX_FOUND: Final = 3
"""Limit of models that are named to users and in the log."""
FILE: Final = "local-model.json"
"""The file in the data folder that stores the chosen model."""
_NO_CHAT: Final = ("embed", "rerank", "whisper")
"""Parts of the names of models that cannot chat."""


class _Listed(msgspec.Struct):
    id: str


class _Listing(msgspec.Struct):
    data: list[_Listed]


@frozen
class LocalModel:
    """A model of a program on this machine."""

    server: str
    port: int
    model: str

    @property
    def url(self) -> str:
        """The address of the chat completions."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def name(self) -> str:
        """The model's name in settings and logs."""
        return f"openai-chat:{self.model}"


async def find_models(ports: Mapping[int, str]) -> list[LocalModel]:
    """Return the models of all programs that answer within `WITHIN_S` seconds, in the order of `ports` and lists."""
    by_port: dict[int, list[LocalModel]] = {}

    async def look(port: int, server: str) -> None:
        try:
            body = await fetch(f"http://127.0.0.1:{port}/v1/models", max_bytes=MAX_BYTES, within_s=WITHIN_S)
        except FetchFailed:
            return
        by_port[port] = [LocalModel(server, port, name) for name in names_in(body)]

    async with trio.open_nursery() as nursery:
        for port, server in ports.items():
            nursery.start_soon(look, port, server)
    return [model for port in ports for model in by_port.get(port, ())]


def names_in(listing: bytes) -> list[str]:
    """Return the names of the listed models that can chat, at most `MAX_MODELS`; none if the listing is malformed."""
    try:
        names = [model.id for model in msgspec.json.decode(listing, type=_Listing).data]
    except (msgspec.MsgspecError, UnicodeError):
        return []
    usable = [name for name in names if 0 < len(name) <= 200 and not any(no in name.lower() for no in _NO_CHAT)]
    return usable[:MAX_MODELS]


async def how_to_connect() -> str:
    """Return a sentence that names the models of this machine, empty if there are none."""
    models = (await find_models(PORTS))[:MAX_FOUND]
    if not models:
        return ""
    named = " or ".join(f"{model.model} of {model.server}" for model in models)
    return f"This machine has {named}: start the server with `--model {models[0].name}`, or choose it in the page."


@define
class LocalModels:
    """The choice of a local model in place of the offline one. It is kept in a file of `folder`."""

    models: Models
    folder: Path
    ports: Mapping[int, str] = field(factory=lambda: PORTS)

    async def announce(self) -> None:
        """Log the models that could replace the offline model, unless a model was chosen before."""
        if self.models.default != OFFLINE:
            return
        named = {provider.key_variable: name for name, provider in self.models.providers.items()}
        for variable, name in named.items():
            if os.environ.get(variable):
                log.info("model.key_found", extra={"variable": variable, "use": f"--model {name}:NAME"})
        for model in (await find_models(self.ports))[:MAX_FOUND]:
            extra = {"server": model.server, "port": model.port, "model": model.model, "use": "the button in the page"}
            log.info("model.local_found", extra=extra)

    async def use(self, port: int, model: str) -> str:
        """Let agents without a model of their own use this one, now and after a restart. Return its name.

        Raises:
            CommandRejected: No program at that port has the model (`not_found`), or the extra `openai` is not
                installed (`invalid_command`).
        """
        found = await find_models(self.ports)
        chosen = next((local for local in found if (local.port, local.model) == (port, model)), None)
        if chosen is None:
            raise CommandRejected("not_found", f"No program on port {port} has the model {model[:100]} now.")
        await trio.to_thread.run_sync(self._open, chosen)
        await trio.to_thread.run_sync(self._keep, chosen)
        log.info("model.local_used", extra={"server": chosen.server, "port": chosen.port, "model": chosen.model})
        return chosen.name

    def restore(self) -> str:
        """Use the model that was chosen before. Return the name of the one in use. Blocks."""
        try:
            chosen: Any = json.loads((self.folder / FILE).read_text())
            self._open(LocalModel(str(chosen["server"]), int(chosen["port"]), str(chosen["model"])))
        except FileNotFoundError:
            return OFFLINE
        except (OSError, ValueError, KeyError, TypeError, CommandRejected) as error:
            log.warning("model.local_not_used", extra={"reason": str(error)})
            return OFFLINE
        return self.models.default

    def _open(self, chosen: LocalModel) -> None:
        try:
            self.models.use(chosen.name, chosen.url)
        except (ExtraNotInstalled, ValueError) as error:
            raise CommandRejected("invalid_command", str(error)) from None

    def _keep(self, chosen: LocalModel) -> None:
        content = {"server": chosen.server, "port": chosen.port, "model": chosen.model}
        new = self.folder / f"{FILE}.new"
        new.write_text(json.dumps(content))
        new.replace(self.folder / FILE)
