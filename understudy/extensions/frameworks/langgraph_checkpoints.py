"""A checkpointer of LangGraph for one run, which stores its checkpoints as state of the run.

1. For each namespace only the last checkpoint is stored, with the writes of tasks since then. A run resumes from these;
   it cannot go back to an earlier checkpoint.
2. Values are msgpack by LangGraph's serializer in its strict mode: stored bytes become only known types, those of
   LangChain's messages and those in the declaration of the graph's state. Nothing is pickled.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from langchain_core.runnables import RunnableConfig
from langgraph._internal._serde import build_serde_allowlist
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_id,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from understudy.agents.framework import FrameworkWork

ROOT: Final = ""
"""The namespace of the graph itself; those of subgraphs have a name."""


class _Stored(msgspec.Struct, array_like=True):
    """A checkpoint as it is stored."""

    id: str
    parent_id: str | None
    checkpoint: tuple[str, bytes]
    metadata: tuple[str, bytes]


class _Write(msgspec.Struct, array_like=True):
    """A write of a task after a checkpoint, as it is stored."""

    ns: str
    checkpoint_id: str
    task_id: str
    index: int
    path: str
    channel: str
    value: tuple[str, bytes]


class RunCheckpoints(BaseCheckpointSaver[int]):
    """The checkpoints of one run of `graph`, stored by `work`. `begun`: the run has a checkpoint.

    `shown` waits until all events of the graph have been shown.
    """

    def __init__(self, graph: Any, work: FrameworkWork, shown: Callable[[], Awaitable[None]]) -> None:
        schemas = [state for state in (getattr(graph, "builder", None) and graph.builder.state_schema,) if state]
        modules = build_serde_allowlist(schemas=schemas, channels=graph.channels)
        super().__init__(serde=JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=tuple(modules)))
        self.work, self.shown = work, shown
        self.begun = False
        self.stored = asyncio.Event()  # set, and replaced by a new one, after each save
        self._checkpoints: dict[str, _Stored] = {}  # by namespace
        self._writes: dict[str, _Write] = {}  # by key of the state

    async def load(self, run_id: str) -> None:
        """Load the checkpoints and writes that the run stored before it was interrupted."""
        for key, body in (await self.work.load(run_id)).items():
            if key.startswith("c/"):
                self._checkpoints[key[2:]] = msgspec.msgpack.decode(body, type=_Stored)
            else:
                self._writes[key] = msgspec.msgpack.decode(body, type=_Write)
        self.begun = ROOT in self._checkpoints

    async def start_after(self, run_id: str) -> bool:
        """Start the graph from the last checkpoint of an earlier run. Return False if that has none."""
        body = (await self.work.load(run_id)).get(f"c/{ROOT}")
        if body is None:
            return False
        self._checkpoints[ROOT] = msgspec.msgpack.decode(body, type=_Stored)
        return True

    async def finish(self) -> None:
        """Remove the writes and the checkpoints of subgraphs, which only an unfinished run needs."""
        inner = [f"c/{ns}" for ns in self._checkpoints if ns != ROOT]
        if inner or self._writes:
            await self.work.save({}, (*inner, *self._writes))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return the last checkpoint of a namespace; None if there is none, or `config` names another one."""
        ns, wanted_id = _namespace(config), get_checkpoint_id(config)
        stored = self._checkpoints.get(ns)
        if stored is None or wanted_id not in (None, stored.id):
            return None
        writes = [write for write in self._writes.values() if (write.ns, write.checkpoint_id) == (ns, stored.id)]
        writes.sort(key=lambda write: (write.path, write.task_id, write.index))
        return CheckpointTuple(
            _config(config, ns, stored.id),
            self.serde.loads_typed(stored.checkpoint),
            self.serde.loads_typed(stored.metadata),
            None if stored.parent_id is None else _config(config, ns, stored.parent_id),
            [(write.task_id, write.channel, self.serde.loads_typed(write.value)) for write in writes],
        )

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Yield the last checkpoint, because earlier ones are not stored."""
        if config is not None and before is None and (checkpoint := await self.aget_tuple(config)) is not None:
            yield checkpoint

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint, replacing the last one and its writes, which the new one includes."""
        ns = _namespace(config)
        stored = _Stored(
            checkpoint["id"],
            get_checkpoint_id(config),
            self.serde.dumps_typed(checkpoint),
            self.serde.dumps_typed(get_checkpoint_metadata(config, metadata)),
        )
        old_keys = [key for key, write in self._writes.items() if write.ns == ns and write.checkpoint_id != stored.id]
        await self._save({f"c/{ns}": msgspec.msgpack.encode(stored)}, tuple(old_keys))
        self._checkpoints[ns], self.begun = stored, self.begun or ns == ROOT
        for key in old_keys:
            self._writes.pop(key, None)
        return _config(config, ns, stored.id)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store the writes of a task since the checkpoint."""
        ns, new_writes = _namespace(config), {}
        checkpoint_id = str(get_checkpoint_id(config))
        for place, (channel, value) in enumerate(writes):
            index = WRITES_IDX_MAP.get(channel, place)
            key = f"w/{ns}/{checkpoint_id}/{task_id}/{index}"
            if index < 0 or key not in self._writes:
                encoded = self.serde.dumps_typed(value)
                new_writes[key] = _Write(ns, checkpoint_id, task_id, index, task_path, channel, encoded)
        await self.shown()  # first, because a task whose writes are stored is not run again to show its text
        await self._save({key: msgspec.msgpack.encode(write) for key, write in new_writes.items()})
        self._writes |= new_writes

    async def _save(self, put: Mapping[str, bytes], drop: tuple[str, ...] = ()) -> None:
        await self.work.save(put, drop)
        self.stored.set()
        self.stored = asyncio.Event()


def _namespace(config: RunnableConfig) -> str:
    return str(config["configurable"].get("checkpoint_ns", ROOT))


def _config(config: RunnableConfig, ns: str, checkpoint_id: str) -> RunnableConfig:
    thread_id = config["configurable"]["thread_id"]
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": ns, "checkpoint_id": checkpoint_id}}
