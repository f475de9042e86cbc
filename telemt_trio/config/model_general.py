"""The sections ``[general]``, ``[general.modes]`` and ``[general.links]``."""

from typing import Literal

import attrs

from telemt_trio.config.setting import Rule, about, between, positive
from telemt_trio.config.values import Bytes, Host, LogLevel, Milliseconds, Port, RstOnClose, Seconds
from telemt_trio.errors import ConfigError

__all__ = ["GeneralConfig", "LinksConfig", "ModesConfig"]


def _refuse_middle_proxy(value: bool) -> None:  # noqa: FBT001 - a rule takes the value it judges
    if value:
        raise ConfigError("the path through middle proxies is not in this release: set it to false")


def _check_log_path(value: str) -> None:
    if not value.strip() or ".." in value.split("/"):
        raise ConfigError('must be a file name without ".."')


@attrs.frozen(kw_only=True)
class ModesConfig:
    """``[general.modes]``: which of the three kinds of secret get in. At least one is on."""

    classic: bool = attrs.field(
        default=False,
        metadata=about("Plain secrets of 32 hex digits: easily recognised on the wire, for trusted networks only."),
    )
    secure: bool = attrs.field(
        default=False,
        metadata=about("dd secrets: padded packets without TLS, recognised by censors that look for random bytes."),
    )
    tls: bool = attrs.field(
        default=True,
        metadata=about("ee secrets: FakeTLS, a connection that looks like HTTPS to censorship.tls_domain."),
    )

    def __attrs_post_init__(self) -> None:
        if not (self.classic or self.secure or self.tls):
            raise ConfigError("tls: every mode is off, so nobody could connect: turn at least one on")


@attrs.frozen(kw_only=True)
class LinksConfig:
    """``[general.links]``: what the printed links say."""

    show: Literal["*"] | tuple[str, ...] = attrs.field(
        default="*",
        metadata=about('Whose links are printed at start: "*" for every user, or a list of names; [] for nobody.'),
    )
    public_host: Host | None = attrs.field(
        default=None,
        converter=attrs.converters.optional(Host),
        metadata=about("Host or address that clients reach this server by.", shown="the server's own address"),
    )
    public_port: Port | None = attrs.field(
        default=None,
        converter=attrs.converters.optional(Port),
        metadata=about("Port that clients reach this server by.", shown="the port that is listened on"),
    )


@attrs.frozen(kw_only=True)
class GeneralConfig:
    """``[general]``: the road to Telegram, buffers, files and the log."""

    modes: ModesConfig = attrs.field(factory=ModesConfig)
    links: LinksConfig = attrs.field(factory=LinksConfig)
    fast_mode: bool = attrs.field(
        default=True,
        metadata=about("Datacenters encrypt with the client's own key, so that downloads need no second cipher."),
    )
    use_middle_proxy: bool = attrs.field(
        default=False,
        validator=Rule("only false in this release", _refuse_middle_proxy),
        metadata=about("Reach datacenters through Telegram's middle proxies, which ad tags need.", telemt="true"),
    )
    tg_connect: Seconds = attrs.field(
        default=10,
        validator=between(1, 3600),
        metadata=about("How long one attempt to connect to a datacenter may take."),
    )
    upstream_connect_retry_attempts: int = attrs.field(
        default=2,
        validator=between(1, 1000),
        metadata=about("How often a connection to a datacenter is tried before its client is closed."),
    )
    upstream_connect_retry_backoff_ms: Milliseconds = attrs.field(
        default=100,
        validator=between(0, 3_600_000),
        metadata=about("Pause between two attempts, lengthened at random by up to a half; 0 tries again at once."),
    )
    upstream_connect_budget_ms: Milliseconds = attrs.field(
        default=3000,
        validator=between(1, 3_600_000),
        metadata=about("How long all attempts for one client may take together."),
    )
    upstream_unhealthy_fail_threshold: int = attrs.field(
        default=5,
        validator=positive(),
        metadata=about("After how many failures in a row an upstream is avoided until it works again."),
    )
    upstream_connect_failfast_hard_errors: bool = attrs.field(
        default=False,
        metadata=about("Do not try again after an error that a retry seldom cures, such as a refused connection."),
    )
    direct_relay_copy_buf_c2s_bytes: Bytes = attrs.field(
        default=65_536,
        validator=between(4096, 1_048_576),
        metadata=about("The most that is read from a client at once.", hot=True),
    )
    direct_relay_copy_buf_s2c_bytes: Bytes = attrs.field(
        default=262_144,
        validator=between(8192, 2_097_152),
        metadata=about("The most that is read from a datacenter at once.", hot=True),
    )
    log_level: LogLevel = attrs.field(
        default=LogLevel.NORMAL,
        converter=LogLevel,
        metadata=about("How much is logged, from everything to nothing.", hot=True),
    )
    unknown_dc_file_log_enabled: bool = attrs.field(
        default=False,
        metadata=about("Note datacenter numbers that are in no table in a file, each once, 1024 at most."),
    )
    unknown_dc_log_path: str = attrs.field(
        default="unknown-dc.txt",
        validator=Rule('no ".."', _check_log_path),
        metadata=about("The file for them; its directory has to exist."),
    )
    rst_on_close: RstOnClose = attrs.field(
        default=RstOnClose.OFF,
        converter=RstOnClose,
        metadata=about("Reset client connections instead of closing them: never, after errors, or always."),
    )
    data_path: str | None = attrs.field(
        default=None,
        metadata=about("Directory that the names of state files are relative to.", shown="the working directory"),
    )
