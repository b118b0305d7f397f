"""Kinds of findings, with a meaning and an example each."""

from attrs import field, frozen


@frozen
class Kind:
    """One kind that a detector distinguishes.

    `name` is dotted below the category (`pii.email`), `meaning` is a sentence for people, `example` a text in which
    exactly this kind is found. Examples of secrets are assembled at run time and never shown.
    """

    name: str
    meaning: str
    example: str = field(repr=False)
