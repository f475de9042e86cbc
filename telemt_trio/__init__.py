"""telemt_trio: a Telegram MTProxy server that looks like the web site it fronts, on trio.

The public face. Everything named in ``__all__`` stays; modules below may move. Names are imported when first used, so
that asking for the version costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from telemt_trio._version import __version__

if TYPE_CHECKING:
    from telemt_trio.config.load import load_config, structure
    from telemt_trio.config.model import ProxyConfig
    from telemt_trio.errors import ConfigError, LocalProtocolError, ProxyError, RemoteProtocolError, UpstreamError
    from telemt_trio.proxy.service import Proxy, serve
    from telemt_trio.streams.faketls import FakeTLSStream
    from telemt_trio.streams.obfuscated import ObfuscatedStream
    from telemt_trio.streams.rewind import RewindStream
    from telemt_trio.streams.tcp import TCPStream

__all__ = [
    "ConfigError",
    "FakeTLSStream",
    "LocalProtocolError",
    "ObfuscatedStream",
    "Proxy",
    "ProxyConfig",
    "ProxyError",
    "RemoteProtocolError",
    "RewindStream",
    "TCPStream",
    "UpstreamError",
    "__version__",
    "load_config",
    "serve",
    "structure",
]

_HOMES = {
    "ConfigError": "telemt_trio.errors",
    "FakeTLSStream": "telemt_trio.streams.faketls",
    "LocalProtocolError": "telemt_trio.errors",
    "ObfuscatedStream": "telemt_trio.streams.obfuscated",
    "Proxy": "telemt_trio.proxy.service",
    "ProxyConfig": "telemt_trio.config.model",
    "ProxyError": "telemt_trio.errors",
    "RemoteProtocolError": "telemt_trio.errors",
    "RewindStream": "telemt_trio.streams.rewind",
    "TCPStream": "telemt_trio.streams.tcp",
    "UpstreamError": "telemt_trio.errors",
    "load_config": "telemt_trio.config.load",
    "serve": "telemt_trio.proxy.service",
    "structure": "telemt_trio.config.load",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
