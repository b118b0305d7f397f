"""Refuses addresses of Redis that coredis would misread, or of which it would ignore a part.

No error repeats a part of the address that may belong to a password.
"""

import re
from typing import Final
from urllib.parse import parse_qsl

HOST: Final = r"([^@/?#]*@)?([^][@:/?#,]+|\[[\da-fA-F:.]+\])(:[1-9]\d{0,4})?(/\d*/?)?"
TLS: Final = {
    "ssl_ca_certs": ".+", "ssl_certfile": ".+", "ssl_keyfile": ".+",
    "ssl_cert_reqs": "required|optional|none", "ssl_check_hostname": "true|false",
}  # fmt: skip
SCHEMES: Final = {"redis": (HOST, {}), "rediss": (HOST, TLS), "unix": (r"([^@/?#]*@)?/[^@?#]+", {"db": r"\d+"})}
"""By scheme: the pattern of the address after it, and the options that it takes with the patterns of their values."""
FORMS: Final = (
    "must be redis://HOST:PORT, rediss://HOST:PORT (with TLS) or unix:///PATH (a socket); USER:PASSWORD@ stands before "
    "the host, with other characters than letters and digits percent-encoded (# is %23), and /NUMBER behind it for "
    "another database than 0, of a socket ?db=NUMBER; several hosts are not supported"
)


def redis_address(url: str) -> str:
    """Return the address with an option that has coredis check the server's name, unless the address turns that off.

    Raises ValueError with a predicate, to be printed after the name of the setting.
    """
    scheme, _, rest = url.partition("://")
    pattern, allowed = SCHEMES.get(scheme, ("(?!)", {}))
    match = re.fullmatch(rf"(?:{pattern})(?:\?(?P<options>[^@#]*))?", rest)
    if match is None:
        raise ValueError(FORMS)
    pairs = parse_qsl(match["options"] or "", keep_blank_values=True)
    options = dict(pairs)
    for name, value in pairs:
        if not re.fullmatch(allowed.get(name, "(?!)"), value) or len(options) < len(pairs):
            takes = ", ".join(f"{key}={values.replace('.+', 'FILE')}" for key, values in allowed.items()) or "none"
            raise ValueError(f"has the option {name[:40]!r}, or its value, in vain: {scheme}:// takes {takes}, once")
    if ("ssl_keyfile" in options) is not ("ssl_certfile" in options):
        raise ValueError("needs both ssl_certfile and ssl_keyfile, or none of them")
    checked = "false" if options.get("ssl_cert_reqs") == "none" else options.get("ssl_check_hostname", "true")
    return f"{url.replace('ssl_check_hostname', '_')}{'&' if match['options'] else '?'}ssl_check_hostname={checked}"
