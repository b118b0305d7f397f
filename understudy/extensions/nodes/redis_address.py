"""Refuses addresses of Redis that coredis would take for another place, or of which it would ignore a part.

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
"""The pattern of what follows a scheme, and of the values of its options."""
FORMS: Final = (
    "must be redis://HOST:PORT, rediss://HOST:PORT (with TLS) or unix:///PATH (a socket); USER:PASSWORD@ stands before "
    "the host, with other characters than letters and digits percent-encoded (# is %23), and /NUMBER behind it for "
    "another database than 0, of a socket ?db=NUMBER; several hosts are not supported"
)


def redis_address(url: str) -> str:
    """Return an address for coredis, which checks the name of a server only if it is told to.

    Raises ValueError, whose text follows the name of the setting.
    """
    scheme, _, place = url.partition("://")
    pattern, known = SCHEMES.get(scheme, ("(?!)", {}))
    found = re.fullmatch(rf"(?:{pattern})(?:\?(?P<options>[^@#]*))?", place)
    if found is None:
        raise ValueError(FORMS)
    given = parse_qsl(found["options"] or "", keep_blank_values=True)
    options = dict(given)
    for name, value in given:
        if not re.fullmatch(known.get(name, "(?!)"), value) or len(options) < len(given):
            takes = ", ".join(f"{each}={values.replace('.+', 'FILE')}" for each, values in known.items()) or "none"
            raise ValueError(f"has the option {name[:40]!r}, or its value, in vain: {scheme}:// takes {takes}, once")
    if ("ssl_keyfile" in options) is not ("ssl_certfile" in options):
        raise ValueError("needs both ssl_certfile and ssl_keyfile, or none of them")
    checked = "false" if options.get("ssl_cert_reqs") == "none" else options.get("ssl_check_hostname", "true")
    return f"{url.replace('ssl_check_hostname', '_')}{'&' if found['options'] else '?'}ssl_check_hostname={checked}"
