from __future__ import annotations

import sys
from types import ModuleType

import pytest

from telemt_trio.errors import ConfigError


@pytest.fixture
def called(monkeypatch):
    """Stands for the two commands that need trio: notes their argument, returns 3."""
    calls = []
    for name in ("run", "demo"):
        module = ModuleType(f"telemt_trio.cli.{name}")

        def command(argument, name=name):
            calls.append((name, argument))
            return 3

        setattr(module, f"{name}_command", command)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return calls


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        (("run",), ("run", None)),
        (("run", "a.toml"), ("run", "a.toml")),
        (("run", "-c", "a.toml"), ("run", "a.toml")),
        (("-c", "a.toml", "run"), ("run", "a.toml")),
        (("-c", "b.toml", "run", "a.toml"), ("run", "a.toml")),
        (("demo",), ("demo", None)),
        (("demo", "--plot", "x.png"), ("demo", "x.png")),
    ],
)
def test_run_and_demo_get_their_argument_and_give_the_exit_code(telemt, called, arguments, call):
    code, _, _ = telemt(*arguments)
    assert (code, called) == (3, [call])


def test_a_configuration_mistake_while_running_is_a_sentence(telemt, called, monkeypatch):
    def refuse(_):
        raise ConfigError("cannot listen on 0.0.0.0 port 443", "and more")

    monkeypatch.setattr(sys.modules["telemt_trio.cli.run"], "run_command", refuse)
    assert telemt("run") == (2, "", "telemt-trio: cannot listen on 0.0.0.0 port 443\ntelemt-trio: and more\n")
