"""``telemt-trio run``: serve until a signal says stop."""

from __future__ import annotations

import gc
import logging
import resource
import secrets
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from telemt_trio.cli.own_address import is_private, own_address
from telemt_trio.cli.qr import terminal_qr
from telemt_trio.config.links import UNKNOWN_HOST, link_address, shown_users, user_links
from telemt_trio.config.load import load_config
from telemt_trio.config.starter import starter_toml, write_starter
from telemt_trio.config.values import LogLevel
from telemt_trio.errors import ConfigError
from telemt_trio.net.sockets import bind_listener
from telemt_trio.observe.log import LogObserver
from telemt_trio.proxy.service import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from telemt_trio.config.model import ProxyConfig

__all__ = ["run_command"]

DEFAULT_PATH: Final = "telemt.toml"
# Its front end answers a ClientHello with exactly one encrypted record, which is all that FakeTLS can imitate.
STARTER_DOMAIN: Final = "www.google.com"
STARTER_PORTS: Final = (443, 8443)

_LEVELS: Final = {
    LogLevel.SILENT: logging.ERROR,
    LogLevel.NORMAL: logging.INFO,
    LogLevel.VERBOSE: logging.DEBUG,
    LogLevel.DEBUG: logging.DEBUG,
}


def run_command(config_path: str | None) -> int:
    """Serve the configuration at ``config_path``, or the one in the current directory, which is written if missing.

    Returns the exit status: 0 after a stop by signal. Raises ConfigError with what to do.
    """
    path = Path(config_path or DEFAULT_PATH)
    if config_path is None and not path.exists():
        _write_starter(path)
    loaded = load_config(path)
    logger = _logger(loaded.config.general.log_level)
    for warning in loaded.warnings:
        logger.warning("%s", warning)
    _raise_descriptor_limit()
    try:
        trio.run(_serve, loaded.config, logger)
    except* ConfigError as group:
        raise _first(group) from None
    return 0


async def _serve(config: ProxyConfig, logger: logging.Logger) -> None:
    """Start, say how to connect, look at Telegram, stop on the first signal, at once on the second."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            proxy = Proxy(config, LogObserver(logger, trio.current_time))
            await nursery.start(_run_to_end, proxy, nursery)
            _greet(config, proxy)
            nursery.start_soon(_look_at_telegram, proxy, logger)
            nursery.start_soon(_stop_on_signals, signals, proxy, nursery)
            # What was made so far lives as long as the process: the collector need not walk it again and again.
            gc.collect()
            gc.freeze()


async def _run_to_end(proxy: Proxy, nursery: trio.Nursery, *, task_status: trio.TaskStatus[Proxy]) -> None:
    await proxy.run(task_status=task_status)
    nursery.cancel_scope.cancel()


async def _stop_on_signals(signals: AsyncIterator[int], proxy: Proxy, nursery: trio.Nursery) -> None:
    await anext(signals)
    proxy.stop()
    await anext(signals)
    nursery.cancel_scope.cancel()


async def _look_at_telegram(proxy: Proxy, logger: logging.Logger) -> None:
    """Say once whether the datacenters answer. The proxy serves either way."""
    report = await proxy.upstreams.ping_all()
    silent = ", ".join(map(str, sorted(report.unreachable)))
    if not report.reachable:
        logger.warning(
            "Telegram cannot be reached: no datacenter answers. Serving all the same; "
            "where there is no direct way to Telegram, add an [[upstreams]] of type socks5, socks4 or http"
        )
    elif silent:
        logger.warning("these datacenters of Telegram do not answer: %s", silent)
    else:
        logger.info("all %d datacenters of Telegram answer", len(report.reachable))


def _greet(config: ProxyConfig, proxy: Proxy) -> None:
    """Print the links of whoever general.links.show names, and a QR code of the first one."""
    host, port = link_address(config, detected=own_address(), bound_port=proxy.addresses[0][1])
    first: str | None = None
    for user in shown_users(config):
        for label, links in user_links(config, user, host, port):
            print(f"{user} ({label}):\n  {links.tg}\n  {links.https}")
            first = first or links.tg
    if first is not None and sys.stdout.isatty():
        print(terminal_qr(first))
    if first is not None and (host == UNKNOWN_HOST or is_private(host)):
        print(f"The links name {host}, which the internet cannot reach; set general.links.public_host.")
    sys.stdout.flush()


def _write_starter(path: Path) -> None:
    """Write a first configuration: a fresh secret, a port that can be listened on."""
    port = next((port for port in STARTER_PORTS if _can_listen(port)), STARTER_PORTS[-1])
    text = starter_toml(STARTER_DOMAIN, secrets.token_hex(16), port=port)
    write_starter(path, text)
    print(f"No {path} yet: wrote one with a new secret, fronting {STARTER_DOMAIN}.")
    print("Read its comments before you share links.")
    if port != STARTER_PORTS[0]:
        print(f"Port {STARTER_PORTS[0]} is taken or not permitted: using {port}.")


def _can_listen(port: int) -> bool:
    try:
        bind_listener("0.0.0.0", port).close()
    except OSError:
        return False
    return True


def _logger(level: LogLevel) -> logging.Logger:
    """The root of our log lines, on standard error; an embedder's own logging is never touched by this."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%d %H:%M:%S"))
    logger = logging.getLogger("telemt_trio")
    logger.handlers[:] = [handler]
    logger.setLevel(_LEVELS[level])
    logger.propagate = False
    return logger


def _raise_descriptor_limit() -> None:
    """Two descriptors a client: take what the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _first(group: ExceptionGroup[ConfigError]) -> ConfigError:
    """The one error inside a group of groups."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error
