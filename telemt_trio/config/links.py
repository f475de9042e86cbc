"""What users are given: for each of them, the links that this configuration makes valid."""

from telemt_trio.config.model import ProxyConfig
from telemt_trio.config.values import Ip
from telemt_trio.wire.secrets import Links, Mode, ProxySecret, proxy_links

__all__ = ["UNKNOWN_HOST", "link_address", "shown_users", "user_links"]

UNKNOWN_HOST = "UNKNOWN"


def user_links(config: ProxyConfig, user: str, host: str, port: int) -> list[tuple[str, Links]]:
    """The links of ``user``, each with a label: one for each mode that is on, in TLS one for each domain.

    The order is the one to recommend: TLS first. Raises KeyError for a user who is not in the configuration.
    """
    key = config.access.users[user].key
    modes = config.general.modes
    secrets = []
    if modes.tls:
        secrets += [(f"tls {domain}", ProxySecret(key, Mode.TLS, domain)) for domain in config.censorship.domains]
    if modes.secure:
        secrets.append(("secure", ProxySecret(key, Mode.SECURE)))
    if modes.classic:
        secrets.append(("classic", ProxySecret(key, Mode.CLASSIC)))
    return [(label, proxy_links(host, port, secret)) for label, secret in secrets]


def shown_users(config: ProxyConfig) -> list[str]:
    """Whose links are printed at start, by name. Names that nobody has are left out."""
    show = config.general.links.show
    return sorted(user for user in config.access.users if show == "*" or user in show)


def link_address(config: ProxyConfig, *, detected: str | None = None, bound_port: int | None = None) -> tuple[str, int]:
    """Host and port for links.

    The host is ``general.links.public_host``, else what the first listener announces, else an address that is listened
    on, else ``detected`` (this machine's own), else ``UNKNOWN``. The port is ``general.links.public_port``, else
    ``bound_port`` (what the proxy really listens on), else the first listener's.
    """
    listeners = config.server.addresses()
    links = config.general.links
    announced = [str(one.announce) for one in listeners if one.announce]
    own = [str(one.ip) for one in listeners if not Ip(one.ip).is_unspecified]
    hosts = [
        *([str(links.public_host)] if links.public_host else []),
        *announced,
        *own,
        *([detected] if detected else []),
    ]
    port = links.public_port or bound_port or listeners[0].port or config.server.port
    return next(iter(hosts), UNKNOWN_HOST), int(port)
