"""`/api/admin/models`: models of this machine in place of the offline one, for operators of the server."""

from typing import Final, Literal

from attrs import frozen
from msgspec import Struct

from transport.wire.errors import CommandRejected
from understudy.extensions.openai.local import LocalModel, LocalModels, find_models
from understudy.storage.acts import Act
from understudy.web.acts import say
from understudy.web.context import read_json, rights, web_context
from understudy.web.routes import STORED, Routes

MODEL_USED: Final = Act("model.used", "model", "port")

blueprint = Routes("local_models", __name__, url_prefix="/api/admin/models")


@frozen
class UseModel:
    """The body of a request to use a model of this machine."""

    port: int
    model: str


class ModelChoice(Struct):
    """The model in use, and those of this machine that may be used in its place."""

    in_use: str
    offered: list[LocalModel]


@blueprint.get("", errors=("rate_limited", "internal"))
async def models() -> ModelChoice:
    """List the models of programs on this machine that may be used in place of the offline one."""
    rights().check_server()
    context = web_context()
    local = context.parts.find(LocalModels)
    return ModelChoice(context.models.default, [] if local is None else await find_models(local.ports))


@blueprint.post("", body=UseModel, errors=("not_found", *STORED))
async def use_model() -> dict[Literal["in_use"], str]:
    """Use one of these models, now and after a restart: `port` and `model`."""
    rights().check_server()
    local, choice = web_context().parts.find(LocalModels), await read_json(UseModel, '{"port": 11434, "model": "…"}')
    if local is None:
        raise CommandRejected("not_found", "Only a server without a model and without a secret offers local ones.")
    await say(MODEL_USED, as_operator=True, model=choice.model[:200], port=str(choice.port))
    return {"in_use": await local.use(choice.port, choice.model)}
