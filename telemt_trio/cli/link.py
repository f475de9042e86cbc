"""``telemt-trio link``: what to hand to a user."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from telemt_trio.cli.app import takes_config
from telemt_trio.cli.config import load_reporting
from telemt_trio.errors import ConfigError

if TYPE_CHECKING:
    from telemt_trio.config.model import ProxyConfig

__all__ = ["link", "print_links"]


@click.command(short_help="Print links for users.")
@click.argument("user", required=False)
@click.option("--qr", is_flag=True, help="Draw the first link of each user as a QR code too.")
@takes_config
@click.pass_context
def link(ctx: click.Context, user: str | None, qr: bool, config_option: Path | None) -> None:  # noqa: FBT001 - click
    """Print the links of USER, or of every user that general.links.show names."""
    from telemt_trio.config.compat import nearest
    from telemt_trio.config.links import shown_users

    config = load_reporting(ctx, config_option).config
    if user is not None and user not in config.access.users:
        guess = nearest(user, list(config.access.users))
        raise ConfigError(f"there is no user {user}" + (f"; did you mean {guess}?" if guess else ""))
    users = shown_users(config) if user is None else [user]
    if not users:
        click.echo("telemt-trio: general.links.show names nobody: name a user, as in `telemt-trio link USER`", err=True)
    print_links(config, users, qr=qr)


def print_links(config: "ProxyConfig", users: Sequence[str], *, qr: bool = False) -> None:
    """Print the links of ``users`` on stdout, and on stderr what may be wrong with their host."""
    from telemt_trio.cli.own_address import is_private, own_address
    from telemt_trio.cli.qr import terminal_qr
    from telemt_trio.config.links import UNKNOWN_HOST, link_address, user_links

    host, port = link_address(config, detected=own_address())
    for user in users:
        click.echo(f"{user}:")
        links = user_links(config, user, host, port)
        for label, one in links:
            click.echo(f"  {label}\n    {one.tg}\n    {one.https}")
        if qr:
            click.echo(terminal_qr(links[0][1].tg))
    if users and host == UNKNOWN_HOST:
        click.echo("telemt-trio: this machine's address is not known: set general.links.public_host", err=True)
    elif users and is_private(host):
        click.echo(
            f"telemt-trio: {host} is a private address, which clients elsewhere cannot reach: "
            "set general.links.public_host to the public one",
            err=True,
        )
