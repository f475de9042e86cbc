from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import telemt_trio
from telemt_trio import __version__
from telemt_trio.cli.app import app

HEAVY = ("click", "trio", "cryptography", "attrs", "cattrs", "tomlkit", "rich", "segno")


# The package under test, wherever the working directory is.
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(telemt_trio.__file__).parents[1])}


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, check=False, text=True, env=ENVIRONMENT)  # noqa: S603 - ours


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return command(sys.executable, *arguments)


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_costs_no_import(option):
    ran = python(
        "-c",
        "import sys; from telemt_trio.cli import main; code = main(sys.argv[1:] or ['" + option + "']);"
        f"print(code, *(name for name in {HEAVY!r} if name in sys.modules))",
    )
    assert ran.stdout == f"telemt-trio {__version__}\n0\n"
    assert ran.stderr == ""


def test_configuration_commands_do_not_import_trio(file):
    ran = python(
        "-c",
        f"import sys; from telemt_trio.cli import main; main(['-c', {str(file)!r}, 'config', 'check']);"
        "print([name for name in ('trio', 'tomlkit', 'segno', 'rich') if name in sys.modules])",
    )
    assert ran.stdout.endswith("[]\n")
    assert ran.returncode == 0


def test_the_module_is_the_command(file):
    ran = python("-m", "telemt_trio", "user", "list")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "alice\n", "")


def test_the_version_of_a_longer_command_line(telemt):
    assert telemt("-c", "x", "--version") == (0, f"telemt-trio {__version__}\n", "")


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_lists_every_command(telemt, option):
    code, out, err = telemt(option)
    assert (code, err) == (0, "")
    listed = [line.split()[0] for line in out.partition("Commands:\n")[2].splitlines()]
    assert listed == ["run", "demo", "config", "user", "link", "secret"]
    assert "..." not in out.partition("Commands:\n")[2]


@pytest.mark.parametrize("command", ["run", "demo", "config", "user", "link", "secret"])
def test_every_command_has_help(telemt, command):
    code, out, _ = telemt(command, "--help")
    assert code == 0
    assert out.startswith(f"Usage: telemt-trio {command} ")


@pytest.mark.parametrize("arguments", [("frob",), ("config", "frob"), ("user", "add"), ("--frob",)])
def test_a_wrong_command_line_is_explained(telemt, arguments):
    code, out, err = telemt(*arguments)
    assert (code, out) == (2, "")
    assert "Usage: telemt-trio" in err


@pytest.mark.parametrize("arguments", [(), ("config",), ("user",)])
def test_half_a_command_line_shows_the_help(telemt, arguments):
    code, out, err = telemt(*arguments)
    assert code in {0, 2}  # as the installed click has it
    assert "Commands:" in out + err


def test_a_mistake_of_the_operator_is_a_sentence_for_each(telemt, file):
    file.write_text("[server]\nport = '443'\nprot = 1\n")
    code, out, err = telemt("config", "check")
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        "telemt-trio: config.server.prot: unknown key; did you mean port?",
        "telemt-trio: config.server.port: expected int, got str",
        "telemt-trio: config.access.users: nobody could connect: `telemt-trio user add NAME` adds a user",
    ]


def test_the_same_through_clicks_own_door(tmp_path):
    ran = CliRunner().invoke(app, ["-c", str(tmp_path / "no.toml"), "config", "check"])
    assert ran.exit_code == 2
    assert "no such file" in ran.output
    assert "Traceback" not in ran.output


def test_an_interrupt_is_no_traceback(telemt, monkeypatch, file):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("telemt_trio.config.load.load_config", interrupt)
    code, _, err = telemt("config", "check")
    assert code == 130
    assert "Traceback" not in err


def test_a_reader_that_has_seen_enough_is_no_traceback(file):
    ran = command("bash", "-c", f"{sys.executable} -m telemt_trio config show | true; exit ${{PIPESTATUS[0]}}")
    assert (ran.returncode, ran.stderr) in {(0, ""), (1, "")}


def test_bugs_keep_their_traceback(telemt, monkeypatch, file):
    def fail(_):
        raise ZeroDivisionError

    monkeypatch.setattr("telemt_trio.config.load.load_config", fail)
    with pytest.raises(ZeroDivisionError):
        telemt("config", "check")


@pytest.mark.parametrize(
    "arguments",
    [
        ("-c", "other.toml", "user", "list"),
        ("user", "list", "-c", "other.toml"),
        ("-c", "no.toml", "user", "list", "--config", "other.toml"),
    ],
)
def test_the_configuration_is_named_before_or_behind_the_command(telemt, file, arguments):
    file.rename(file.with_name("other.toml"))
    assert telemt(*arguments) == (0, "alice\n", "")


def test_commands_are_loaded_by_name():
    context = click.Context(app)
    assert app.get_command(context, "secret").name == "secret"
    assert app.get_command(context, "frob") is None


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_alone(telemt, option):
    assert telemt(option) == (0, f"telemt-trio {__version__}\n", "")
