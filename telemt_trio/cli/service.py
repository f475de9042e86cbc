"""``telemt-trio run`` and ``telemt-trio demo``: the doors to the two commands that need trio."""

from pathlib import Path

import click

from telemt_trio.cli.app import config_path, takes_config

__all__ = ["demo", "run"]


@click.command(short_help="Serve clients.")
@click.argument("config_file", metavar="[CONFIG]", required=False, type=click.Path(path_type=Path))
@takes_config
@click.pass_context
def run(ctx: click.Context, config_file: Path | None, config_option: Path | None) -> None:
    """Serve clients until SIGINT or SIGTERM; without a configuration, write one first."""
    from telemt_trio.cli.run import run_command

    path = config_path(ctx, config_file, config_option)
    ctx.exit(run_command(None if path is None else str(path)))


@click.command(short_help="Show a proxy at work, offline.")
@click.option("--plot", metavar="FILE.png", type=click.Path(dir_okay=False), help="Draw record sizes over time.")
@click.pass_context
def demo(ctx: click.Context, plot: str | None) -> None:
    """Show a whole proxy at work on this machine alone, without a network."""
    from telemt_trio.cli.demo import demo_command

    ctx.exit(demo_command(plot))
