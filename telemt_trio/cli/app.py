"""The command tree. Each command lives in its own file, imported when it is asked for."""

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from telemt_trio._version import __version__
from telemt_trio.errors import ConfigError

__all__ = ["DEFAULT_CONFIG", "app", "config_path", "run_app", "takes_config"]

DEFAULT_CONFIG: Final = Path("telemt.toml")

# name -> module:attribute
_COMMANDS: Final = {
    "run": "telemt_trio.cli.service:run",
    "demo": "telemt_trio.cli.service:demo",
    "config": "telemt_trio.cli.config:config",
    "user": "telemt_trio.cli.user:user",
    "link": "telemt_trio.cli.link:link",
    "secret": "telemt_trio.cli.secret:secret",
}

F = TypeVar("F", bound=Callable[..., Any])


class Refusal(click.ClickException):
    """A :class:`ConfigError` on its way to the operator: its sentences on stderr, exit code 2, no traceback."""

    exit_code = 2

    def __init__(self, error: ConfigError) -> None:
        super().__init__(str(error))
        self.problems = error.problems

    def show(self, file: Any = None) -> None:
        """One line for each problem."""
        for problem in self.problems:
            click.echo(f"telemt-trio: {problem}", file=file, err=file is None)


class Commands(click.Group):
    """A group whose commands are imported when they are asked for, and whose mistakes are sentences."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the table: the everyday ones first."""
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """None for a name that is in no table; click says so to the operator."""
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            raise Refusal(error) from None


def takes_config(command: F) -> F:
    """The option ``-c``, which is understood before and behind the name of a command."""
    option = click.option(
        "-c",
        "--config",
        "config_option",
        type=click.Path(path_type=Path),
        metavar="PATH",
        help=f"Configuration file (default: ./{DEFAULT_CONFIG}).",
    )
    return option(command)


def config_path(ctx: click.Context, *given: Path | None) -> Path | None:
    """The first path that was given: behind the command, before it, or not at all."""
    return next((path for path in (*given, ctx.find_object(Path)) if path is not None), None)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-V", "--version", message="telemt-trio %(version)s")
@takes_config
@click.pass_context
def app(ctx: click.Context, config_option: Path | None) -> None:
    """A Telegram MTProxy server that looks like the web site it fronts."""
    ctx.obj = config_option


def run_app(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code. Only bugs leave as exceptions."""
    try:
        code = app.main(list(arguments), prog_name="telemt-trio", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return 130
    return code if isinstance(code, int) else 0
