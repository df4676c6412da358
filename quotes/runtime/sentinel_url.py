"""URLs of a Redis master that Sentinels name: `redis+sentinel://HOST:26379,HOST:26379/MASTER?db=0`.

`rediss+sentinel://` is the same over TLS, to the Sentinels and to the master. User name and
password before the hosts are those of the master; Sentinels with a password of their own have it in
the option `sentinel_password` (and `sentinel_username`). All other URLs are redis-py's to read.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import parse_qsl, unquote

SCHEMES = ("redis+sentinel", "rediss+sentinel")
EXAMPLE = "redis+sentinel://HOST:26379,HOST:26379/MASTER"
DEFAULT_PORT = 26379

Address = tuple[str, int]  # host, port

# Of a TLS connection, under the names that redis-py gives them.
_TLS_OPTIONS = (
    *("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"),
    *("ssl_cert_reqs", "ssl_check_hostname"),
)
_OPTIONS = ("db", "sentinel_username", "sentinel_password", *_TLS_OPTIONS)
_CERT_REQS = ("none", "optional", "required")
_MAX_SENTINELS = 32


class BadRedisURL(ValueError):
    """A URL of Redis is wrong; the text says what to write, and quotes nothing of the URL."""


@dataclass(frozen=True, slots=True)
class SentinelURL:
    """A master, and the Sentinels that know where it is.

    Attributes:
        tls: whether Sentinels and master are reached over TLS.
        tls_options: redis-py's, such as `ssl_ca_certs`, and their values.
    """

    sentinels: tuple[Address, ...]
    master: str
    db: int = 0
    tls: bool = False
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    sentinel_username: str = field(default="", repr=False)
    sentinel_password: str = field(default="", repr=False)
    tls_options: tuple[tuple[str, str | bool], ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        named = ", ".join(map(shown_address, self.sentinels))
        return f"master {self.master} of the Sentinels at {named}"


def shown_address(address: Address) -> str:
    """Return host and port as people write them."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_sentinel_url(url: str) -> bool:
    return url.partition(":")[0].lower() in SCHEMES


@lru_cache(maxsize=16)
def parse_sentinel_url(url: str) -> SentinelURL:
    """Return what a Sentinel URL says; raise BadRedisURL if it is wrong."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        raise BadRedisURL(f"a Sentinel URL looks like {EXAMPLE}")
    if not rest.isprintable() or " " in rest:
        raise BadRedisURL("a Sentinel URL has no spaces or line ends: percent-encode them (%20)")
    location, _, query = rest.partition("?")
    netloc, _, path = location.partition("/")
    if "@" in path + query or "#" in rest:
        raise BadRedisURL(
            "percent-encode special characters in names and passwords: / is %2F, ? is %3F, # is "
            "%23, @ is %40"
        )
    login, _, hosts = netloc.rpartition("@")
    username, password = _login(login)
    options = _options(query)
    master, db = _master(path, options.pop("db", None))
    if options.get("sentinel_username") and not options.get("sentinel_password"):
        raise BadRedisURL("sentinel_username needs a sentinel_password")
    tls = scheme.lower() == "rediss+sentinel"
    tls_options = tuple(_tls_options(options))
    if tls_options and not tls:
        raise BadRedisURL("options that begin with ssl_ need rediss+sentinel://")
    return SentinelURL(
        sentinels=tuple(_sentinels(hosts)),
        master=master,
        db=db,
        tls=tls,
        username=username,
        password=password,
        sentinel_username=options.get("sentinel_username", ""),
        sentinel_password=options.get("sentinel_password", ""),
        tls_options=tls_options,
    )


def _login(login: str) -> tuple[str, str]:
    """Return user name and password of the master."""
    if "@" in login:
        raise BadRedisURL("percent-encode @ in user name and password: %40")
    username, _, password = login.partition(":")
    if username and not password:
        raise BadRedisURL(
            "a user name needs a password: USER:PASSWORD@, or :PASSWORD@ for the default user"
        )
    return unquote(username), unquote(password)


def _sentinels(hosts: str) -> Iterator[Address]:
    names = hosts.split(",")
    if len(names) > _MAX_SENTINELS:
        raise BadRedisURL(f"a Sentinel URL names at most {_MAX_SENTINELS} Sentinels")
    for number, name in enumerate(names, 1):
        if name.startswith("["):
            host, bracket, tail = name[1:].partition("]")
            if not bracket or (tail and not tail.startswith(":")):
                raise BadRedisURL(f"Sentinel {number}: an IPv6 address looks like [::1]:26379")
            port = tail[1:] if tail else str(DEFAULT_PORT)
        else:
            host, mark, port = name.partition(":")
            port = port if mark else str(DEFAULT_PORT)
            if ":" in port:
                raise BadRedisURL(f"Sentinel {number}: an IPv6 address looks like [::1]:26379")
        if not host:
            raise BadRedisURL(f"Sentinel {number} has no host: a Sentinel URL looks like {EXAMPLE}")
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise BadRedisURL(f"the port of Sentinel {number} must be from 1 to 65535")
        yield unquote(host), int(port)


def _master(path: str, option: str | None) -> tuple[str, int]:
    """Return the master's name and the database."""
    master, slash, in_path = path.partition("/")
    if not master:
        raise BadRedisURL(
            "name the master behind the hosts, as `sentinel monitor NAME` in sentinel.conf does: "
            f"{EXAMPLE}"
        )
    if slash and in_path and option is not None:
        raise BadRedisURL("give the database once, as ?db=0")
    text = option if option is not None else in_path or "0"
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise BadRedisURL("db must be the number of a database, from 0, as in ?db=0")
    return unquote(master), int(text)


def _options(query: str) -> dict[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True)
    options = dict(pairs)
    if len(options) < len(pairs):
        raise BadRedisURL("give each option of a Sentinel URL once")
    if not options.keys() <= set(_OPTIONS):
        raise BadRedisURL(f"options of a Sentinel URL are {', '.join(_OPTIONS)}")
    if not all(options.values()):
        raise BadRedisURL("an option of a Sentinel URL has no value")
    return options


def _tls_options(options: dict[str, str]) -> Iterator[tuple[str, str | bool]]:
    for name in _TLS_OPTIONS:
        text = options.get(name)
        if text is None:
            continue
        if name == "ssl_check_hostname":
            if text.lower() not in ("true", "false"):
                raise BadRedisURL("ssl_check_hostname must be true or false")
            yield name, text.lower() == "true"
        elif name == "ssl_cert_reqs" and text not in _CERT_REQS:
            raise BadRedisURL(f"ssl_cert_reqs must be one of {', '.join(_CERT_REQS)}")
        else:
            yield name, text
