"""The configuration that a first start writes: as few keys as possible, each explained."""

from pathlib import Path
from typing import Final

from telemt_trio.config.values import Domain, HexKey, Port
from telemt_trio.errors import ConfigError
from telemt_trio.store.files import create_exclusive

__all__ = ["starter_toml", "write_starter"]

_TEXT: Final = """\
# Configuration of telemt-trio. `telemt-trio config check` reads it without starting anything,
# `telemt-trio config explain KEY` tells what a key does. This file holds secrets: keep it to yourself.

[general.links]
# The host that stands in the links, if not this machine's own address.
# public_host = "proxy.example.net"

[server]
# 443 is where a web site would be. Other ports work and are more conspicuous.
port = {port}

[censorship]
# The web site that this port looks like: its name stands in the links, and whoever is no client of ours is handed to
# it. Choose one that
#   - answers on port 443 with TLS 1.3 and X25519,
#   - is hosted in the same country as this server, best by the same company, so that the name fits the address,
#   - is not behind a CDN, unless you can explain why this address would serve it.
# Changing it changes every link.
tls_domain = "{domain}"

[access.users]
# name = 32 hex digits. `telemt-trio user add NAME` adds one, `telemt-trio link` prints the links.
{user} = "{key}"
"""


def starter_toml(domain: str, key_hex: str, user: str = "user", *, port: int = 443) -> str:
    """The text of a first telemt.toml. Raises :class:`ConfigError` for a domain or key that could not be used.

    ``user`` has to be a bare key of TOML: ASCII letters, digits, ``-`` and ``_``.
    """
    if not (user.isascii() and user.replace("-", "").replace("_", "").isalnum()):
        raise ConfigError("the first user's name has letters, digits, - and _ only")
    return _TEXT.format(domain=Domain(domain), user=user, key=HexKey.parse(key_hex).hex(), port=Port(port))


def write_starter(path: Path, text: str) -> None:
    """Create ``path`` with mode 0600. Raises :class:`ConfigError`, also if something of that name exists."""
    try:
        create_exclusive(path, text.encode(), 0o600)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}; name another place with -c") from None
