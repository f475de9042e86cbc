"""The section ``[censorship]``: what the port looks like to those who are not let in."""

from collections.abc import Iterable

import attrs

from telemt_trio.config.setting import about, between
from telemt_trio.config.values import Bytes, Domain, Host, Milliseconds, Port, UnknownSniAction
from telemt_trio.errors import ConfigError

__all__ = ["CensorshipConfig"]

_DAY_MS = 86_400_000


def _domains(names: Iterable[str]) -> tuple[Domain, ...]:
    return tuple(map(Domain, names))


@attrs.frozen(kw_only=True)
class CensorshipConfig:
    """``[censorship]``: the fronted site, and how strangers are handed to it."""

    tls_domain: Domain | None = attrs.field(
        default=None,
        converter=attrs.converters.optional(Domain),
        metadata=about(
            "The site this port looks like, and the name in ee links; needed while general.modes.tls is on.",
            telemt='"petrovich.ru"',
            shown="none: choose one",
        ),
    )
    tls_domains: tuple[Domain, ...] = attrs.field(
        default=(),
        converter=_domains,
        metadata=about("More names that clients may ask for, each with its own links."),
    )
    unknown_sni_action: UnknownSniAction = attrs.field(
        default=UnknownSniAction.MASK,
        converter=UnknownSniAction,
        metadata=about("What becomes of a ClientHello that asks for another name.", telemt='"drop"'),
    )
    mask: bool = attrs.field(
        default=True,
        metadata=about("Hand strangers to the real site; false keeps silent, which no site does."),
    )
    mask_host: Host | None = attrs.field(
        default=None,
        converter=attrs.converters.optional(Host),
        metadata=about("Host that strangers are handed to.", shown="tls_domain"),
    )
    mask_port: Port = attrs.field(
        default=Port(443), converter=Port, metadata=about("Port that strangers are handed to.")
    )
    fake_cert_len: Bytes = attrs.field(
        default=2048,
        validator=between(64, 10_240),
        metadata=about(
            "Length of the record that stands for the certificate; Telegram for iOS takes 10240 at most, and 2048 "
            "stands for one drawn at start from 1024 to 4095, so that installations differ."
        ),
    )
    server_hello_delay_min_ms: Milliseconds = attrs.field(
        default=8,
        validator=between(0, 10_000),
        metadata=about("Least time before the answer to a ClientHello; above the maximum it acts as the maximum."),
    )
    server_hello_delay_max_ms: Milliseconds = attrs.field(
        default=24,
        validator=between(0, 10_000),
        metadata=about("Most time before the answer to a ClientHello; less than timeouts.client_handshake."),
    )
    alpn_enforce: bool = attrs.field(
        default=True,
        metadata=about("Answer with an application protocol that the client offered."),
    )
    mask_relay_max_bytes: Bytes = attrs.field(
        default=0,
        validator=between(0, 67_108_864),
        metadata=about(
            "How much a stranger may move in each direction; 0 for no limit, as at a real site.", telemt="5242880"
        ),
    )
    mask_relay_timeout_ms: Milliseconds = attrs.field(
        default=300_000,
        validator=between(1, _DAY_MS),
        metadata=about("How long a stranger may stay.", telemt="60000"),
    )
    mask_relay_idle_timeout_ms: Milliseconds = attrs.field(
        default=300_000,
        validator=between(1, _DAY_MS),
        metadata=about("How long a stranger may stay silent.", telemt="5000"),
    )

    def __attrs_post_init__(self) -> None:
        if self.tls_domains and self.tls_domain is None:
            raise ConfigError("tls_domain: missing beside tls_domains: name the site whose links come first")

    @property
    def domains(self) -> tuple[Domain, ...]:
        """Every name that clients may ask for, ``tls_domain`` first, each once."""
        primary = () if self.tls_domain is None else (self.tls_domain,)
        return tuple(dict.fromkeys((*primary, *self.tls_domains)))

    def mask_target(self) -> Host | None:
        """The host that strangers are handed to when their hello names none of ``domains``."""
        return self.mask_host or self.tls_domain
