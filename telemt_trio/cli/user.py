"""``telemt-trio user``: who may come in."""

import re
from pathlib import Path

import click

from telemt_trio.cli.app import DEFAULT_CONFIG, config_path, takes_config
from telemt_trio.cli.config import load_reporting
from telemt_trio.errors import ConfigError

__all__ = ["user"]

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@click.group()
def user() -> None:
    """Add, remove or list users."""


@user.command()
@click.argument("name")
@takes_config
@click.pass_context
def add(ctx: click.Context, name: str, config_option: Path | None) -> None:
    """Add a user with a new secret, and print the links to hand over."""
    import secrets

    from telemt_trio.cli.link import print_links
    from telemt_trio.config.edit import add_user
    from telemt_trio.config.values import HexKey
    from telemt_trio.wire.secrets import generate_key

    if not _NAME.fullmatch(name):
        raise ConfigError("a user's name has 1 to 64 letters, digits, dots, hyphens and underscores")
    add_user(config_path(ctx, config_option) or DEFAULT_CONFIG, name, HexKey(generate_key(secrets.token_bytes)))
    loaded = load_reporting(ctx, config_option)
    click.echo(f"{name} is added to {loaded.path} and gets in after a restart of the proxy.")
    print_links(loaded.config, [name])


@user.command()
@click.argument("name")
@takes_config
@click.pass_context
def remove(ctx: click.Context, name: str, config_option: Path | None) -> None:
    """Forget a user and the secret."""
    from telemt_trio.config.edit import remove_user

    path = config_path(ctx, config_option) or DEFAULT_CONFIG
    remove_user(path, name)
    click.echo(f"{name} is removed from {path} and stays out after a restart of the proxy.")


@user.command(name="list")
@takes_config
@click.pass_context
def list_users(ctx: click.Context, config_option: Path | None) -> None:
    """Print every user's name, and whether the user may come in."""
    access = load_reporting(ctx, config_option).config.access
    for name in sorted(access.users):
        click.echo(name if access.is_enabled(name) else f"{name} (disabled)")
