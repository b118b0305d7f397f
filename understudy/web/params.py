"""Parse query parameters."""

from quart import request

from transport.wire.errors import CommandRejected


def whole_number(name: str, default: int, low: int, high: int) -> int:
    """Return the whole number of this query parameter, or the default if it is absent.

    Raises:
        CommandRejected: The value is no whole number, or not from `low` to `high` (`invalid_command`).
    """
    try:
        value = int(request.args.get(name, default))
    except ValueError as error:
        raise CommandRejected("invalid_command", f"{name} must be a whole number.") from error
    if not low <= value <= high:
        raise CommandRejected("invalid_command", f"{name} must be from {low} to {high}.")
    return value
