"""What a view of a described route answers, and what its description says of it."""

from types import MappingProxyType
from typing import Any, Literal

import pytest
from attrs import frozen
from msgspec import Struct, UnsetType
from quart import Response
from quart_trio import QuartTrio

from understudy.extensions.references.openapi import Schemas, openapi
from understudy.web.routes import HttpRoute, Routes, as_json, choice, routes_of, shape, some_of, up_to

routes = Routes("shop", __name__, url_prefix="/shop")


@frozen
class Order:
    """A body with a member that may be left out."""

    dish: str
    count: int = 1


class Served(Struct):
    """An answer whose second member is always there."""

    dish: str
    hot: bool = True


@routes.get("/<int:number>", query={"size": choice(["small", "large"]), "limit": up_to(3)}, token=False)
async def one(number: int) -> Served:
    """Return a dish.

    Not the second paragraph.
    """
    return Served(f"dish {number}")


@routes.post("", status=201, body=Order, errors=("not_found",))
async def make() -> dict[Literal["dish"], str]:
    """Order a dish."""
    return {"dish": "soup"}


@routes.delete("")
async def clear() -> None:
    """Clear the table."""


@routes.put("", media="text/plain")
async def bill() -> Response:
    """Write the bill."""
    return Response("1.50", 203)


@pytest.fixture
def app() -> QuartTrio:
    app = QuartTrio(__name__, static_folder=None)
    app.register_blueprint(routes)
    return app


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/shop/7", 200, b'{"dish":"dish 7","hot":true}'),
        ("POST", "/shop", 201, b'{"dish":"soup"}'),
        ("DELETE", "/shop", 204, b""),
        ("PUT", "/shop", 203, b"1.50"),
    ],
)
async def test_a_view_answers_its_value_with_its_status(
    app: QuartTrio, method: str, path: str, status: int, body: bytes
) -> None:
    answer = await app.test_client().open(path, method=method)
    assert (answer.status_code, await answer.get_data(as_text=False)) == (status, body)
    assert answer.content_type.startswith("application/json") is (status in (200, 201))


async def test_values_that_json_lacks_are_answered_as_what_is_nearest() -> None:
    whole = as_json({"halved": Served("so\ud800up"), "read_only": {}})
    assert await whole.get_data(as_text=False) == '{"halved":{"dish":"so\ufffdup","hot":true},"read_only":{}}'.encode()
    read_only = as_json(MappingProxyType({"dish": MappingProxyType({})}))
    assert await read_only.get_data(as_text=False) == b'{"dish":{}}'


def test_the_document_says_what_routes_say(app: QuartTrio) -> None:
    document = openapi("1", routes_of(app))
    assert document["paths"].keys() == {"/shop", "/shop/{number}"}
    got = document["paths"]["/shop/{number}"]["get"]
    assert got["summary"] == "Return a dish."
    assert "security" not in got
    assert [parameter["schema"] for parameter in got["parameters"] if parameter["in"] == "query"] == [
        {"type": "string", "enum": ["small", "large"]},
        {"type": "integer", "minimum": 1, "maximum": 3},
    ]
    at = document["paths"]["/shop"]
    assert at["post"]["responses"]["201"]["content"]["application/json"]["schema"]["required"] == ["dish"]
    assert at["post"]["responses"]["400"]["description"] == "`invalid_command`"
    assert at["post"]["responses"]["404"]["description"] == "`not_found`"
    assert "content" not in at["delete"]["responses"]["204"]
    assert at["put"]["responses"]["200"]["content"] == {"text/plain": {"schema": {"type": "string"}}}
    schemas = document["components"]["schemas"]
    assert (schemas["Order"]["required"], schemas["Served"]["required"]) == (["dish"], ["dish", "hot"])


def test_a_shape_has_the_columns_of_a_row_and_further_members() -> None:
    kind = shape("Bill", Order, ("count",), price=float, tip=float | UnsetType)
    schemas = Schemas()
    schemas.of(kind, answered=True)
    assert schemas.components["Bill"]["properties"].keys() == {"dish", "price", "tip"}
    assert schemas.components["Bill"]["required"] == ["dish", "price"]
    schemas.of(some_of("Change", Order))
    change = schemas.components["Change"]
    assert (change["properties"].keys(), change["required"]) == ({"dish", "count"}, [])


def test_two_classes_of_one_name_are_refused() -> None:
    schemas = Schemas()
    schemas.of(shape("Dish", name=str))
    schemas.of(shape("Dish", name=str))
    with pytest.raises(ValueError, match="Dish"):
        schemas.of(shape("Dish", name=int))


def test_a_body_that_is_read_as_a_type_adds_its_refusals() -> None:
    def refused(**described: Any) -> tuple[str, ...]:
        return tuple(HttpRoute("POST", "/", "a.b", make, described).refusals)

    assert refused(body=Order, errors=("busy",)) == ("invalid_command", "message_too_large", "busy")
    assert refused(body=dict[str, Any], errors=("busy",)) == ("busy",)
    assert refused(body=Order, form="multipart/form-data", errors=("busy",)) == ("busy",)
    assert refused(body=Order) == ()
