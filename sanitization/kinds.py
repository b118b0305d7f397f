"""What a kind of find is called, what it means, and what it looks like."""

from attrs import field, frozen


@frozen
class Kind:
    """One kind of find that a detector tells apart.

    `name` is dotted below the category (`pii.email`), `meaning` a sentence for people, `example` a text in which
    exactly this kind is found. An example of a secret is put together when it is asked for and never shown.
    """

    name: str
    meaning: str
    example: str = field(repr=False)
