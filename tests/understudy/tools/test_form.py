"""Forms: the question that a class asks, and the answer as an instance."""

import dataclasses
import datetime
from typing import Annotated, Any

import msgspec
import pydantic
import pytest
from attrs import field, frozen

from understudy.tools.form import describe_misfit, form_question, read_answer, secret_fields
from understudy.tools.schema import Misfit, Param, Secret


@frozen
class ShippingAddress:
    """Where shall it go?

    Within Europe.
    """

    city: Annotated[str, Param("the town")]
    floor: Annotated[int, Param(minimum=0, maximum=40)] = 0
    due_date: datetime.date = datetime.date(2026, 11, 20)
    notes: list[str] = field(factory=list)
    _door: str = "front"


def test_a_class_becomes_a_question() -> None:
    question = form_question(ShippingAddress)
    assert (question.title, question.text) == ("Shipping address", "Where shall it go?\n\nWithin Europe.")
    assert question.schema["required"] == ["city"]
    assert question.schema["properties"] == {
        "city": {"title": "City", "type": "string", "description": "the town"},
        "floor": {"title": "Floor", "type": "integer", "minimum": 0, "maximum": 40, "default": 0},
        "due_date": {"title": "Due date", "type": "string", "format": "date", "default": "2026-11-20"},
        "notes": {"title": "Notes", "type": "array", "items": {"type": "string"}},
        "door": {"title": "Door", "type": "string", "default": "front"},
    }
    assert form_question(ShippingAddress, "Where?", "Say it.").title == "Where?"


class Card(pydantic.BaseModel):
    """A card."""

    holder: str
    code: pydantic.SecretStr = pydantic.SecretStr("0000")
    pin: Secret | None = None


def test_secret_fields_are_named_and_have_no_default_on_show() -> None:
    question = form_question(Card)
    assert secret_fields(question.schema) == {"code", "pin"}
    assert "0000" not in str(question.schema)
    made = read_answer(Card, {"holder": "ada", "code": "1234", "pin": "5"})
    assert (made.code.get_secret_value(), made.pin) == ("1234", "5")

    @frozen
    class Wallet:
        cards: list[Card]

    class Struct(msgspec.Struct):
        pin: Secret

    with pytest.raises(TypeError, match="a struct cannot have a Secret"):
        form_question(Struct)
    with pytest.raises(TypeError, match="a secret field stands in the form itself, not within 'cards'"):
        form_question(Wallet)


def test_an_answer_becomes_an_instance() -> None:
    made = read_answer(ShippingAddress, {"city": "Ulm", "due_date": "2026-12-24"})
    assert made == ShippingAddress("Ulm", due_date=datetime.date(2026, 12, 24))


@dataclasses.dataclass
class Stay:
    city: str
    nights: int = 2
    guests: list[str] = dataclasses.field(default_factory=list)


class Trip(pydantic.BaseModel):
    """Where to?"""

    city: str = pydantic.Field(min_length=2)
    days: int = pydantic.Field(3, ge=1, le=6)


def test_dataclasses_and_pydantic_models_are_forms() -> None:
    stay, trip = form_question(Stay), form_question(Trip)
    assert (stay.title, stay.text, trip.text) == ("Stay", "", "Where to?")
    assert stay.schema["properties"]["nights"] == {"title": "Nights", "type": "integer", "default": 2}
    days = {"title": "Days", "type": "integer", "default": 3, "minimum": 1, "maximum": 6}
    assert trip.schema["properties"]["days"] == days
    assert read_answer(Stay, {"city": "Ulm"}) == Stay("Ulm")
    assert read_answer(Trip, {"city": "Ulm", "days": 4}) == Trip(city="Ulm", days=4)


@pytest.mark.parametrize(
    ("form", "answer", "sentence"),
    [
        (ShippingAddress, {"city": 5}, "field `city` is wrong: text is expected, not a whole number."),
        (ShippingAddress, {"city": "Ulm", "floor": 41}, "field `floor` is wrong: it must be at most 40."),
        (ShippingAddress, {"city": "Ulm", "notes": ["a", 1]}, "field `notes[1]` is wrong: text is expected, not a"),
        (ShippingAddress, {"floor": 1}, "field `city` is missing."),
        (ShippingAddress, {"city": "Ulm", "street": "x"}, "answer does not fit: there is no field street."),
        (Trip, {"city": "U"}, "field `city` is wrong: string should have at least 2 characters."),
        (Trip, {"city": "Ulm", "days": 9}, "field `days` is wrong: input should be less than or equal to 6."),
        (Trip, {}, "field `city` is missing."),
    ],
)
def test_a_wrong_answer_is_refused_by_its_field(form: type[Any], answer: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Misfit) as misfit:
        read_answer(form, answer)
    assert describe_misfit(misfit.value).startswith(f"The {sentence}")


@pytest.mark.parametrize("form", [int, dict, list[str], object])
def test_a_type_without_fields_is_no_form(form: Any) -> None:
    with pytest.raises(TypeError, match="is no form"):
        form_question(form)
