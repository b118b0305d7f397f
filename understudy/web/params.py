"""What stands in the query of a request, judged."""

from quart import request

from transport.wire.errors import CommandRejected


def whole_number(name: str, default: int, low: int, high: int) -> int:
    """The whole number of this name, or the default where there is none.

    Raises:
        CommandRejected: It is none, or not from `low` to `high` (`invalid_command`).
    """
    try:
        value = int(request.args.get(name, default))
    except ValueError as error:
        raise CommandRejected("invalid_command", f"{name} must be a whole number.") from error
    if not low <= value <= high:
        raise CommandRejected("invalid_command", f"{name} must be from {low} to {high}.")
    return value
