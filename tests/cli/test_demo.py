from __future__ import annotations

import sys
from types import ModuleType

import pytest
import trio

from telemt_trio.cli import demo
from telemt_trio.testing.client import ProxyClient
from telemt_trio.testing.fake_front import Visit


def rows(text, title):
    """The cells of the table under ``title``."""
    lines = text.partition(f"{title}\n")[2].partition("└")[0].splitlines()
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]


def without_blanks(text):
    return "\n".join(line.rstrip() for line in text.splitlines())


def test_everybody_gets_what_was_meant_for_them(telemt):
    code, out, err = telemt("demo")
    assert (code, err) == (0, "")
    out = without_blanks(out)
    assert "Everybody got exactly what was meant for them." in out
    clients = {row[0]: row[1:] for row in rows(out, "Clients")}
    assert set(clients) == {"FakeTLS (ee)", "padded (dd)", "plain"}
    for name, (handshake, echo, sent, got, count, sizes) in clients.items():
        assert sent == got == "1,051,640 B"
        assert echo.endswith(" ms")
        tls = name == "FakeTLS (ee)"
        assert handshake.endswith(" ms") if tls else handshake == "none"
        assert (count.isdecimal() and sizes.startswith("64 / ")) if tls else (count, sizes) == ("no TLS", "")
    strangers = {row[0]: row[3:] for row in rows(out, "Strangers")}
    assert strangers == {
        "a scanner": ["first bytes of another protocol", "the site's page"],
        "a wrong secret": ["no user's secret fits", "the site's TLS alert"],
        "a replay": ["the same handshake was seen before", "the site's TLS alert"],
    }


def test_an_echo_that_came_back_changed_is_a_failure(telemt, monkeypatch):
    receive = ProxyClient.receive_exactly

    async def changed(self, size):
        return (await receive(self, size))[:-1] + b"!"

    monkeypatch.setattr(ProxyClient, "receive_exactly", changed)
    code, out, err = telemt("demo")
    assert code == 1
    assert "FakeTLS (ee): an echo of 64 bytes came back changed" in err
    assert "Everybody" not in out


def test_a_site_that_was_told_something_else_is_a_failure(telemt, monkeypatch):
    async def deaf(self, limit=65536):
        return (await self.stream.receive_some(limit))[:0]

    monkeypatch.setattr(Visit, "receive", deaf)
    code, _, err = telemt("demo")
    assert code == 1
    assert "a scanner: the site did not get exactly what was sent" in err


def test_a_client_that_is_refused_is_a_failure(telemt, monkeypatch):
    monkeypatch.setattr("telemt_trio.wire.client_hello.MAX_CLOCK_SKEW", -1)
    code, _, err = telemt("demo")
    assert code == 1
    assert "the demo broke off: " in err
    assert "Traceback" not in err


def test_wrong_counts_are_a_failure(telemt, monkeypatch):
    monkeypatch.setattr("telemt_trio.proxy.service.Proxy.totals", lambda *_: Totals())
    code, _, err = telemt("demo")
    assert code == 1
    assert "plain: the proxy counted 1 bytes up and 2 down, the client 1051640 and 1051640" in err
    assert "plain: its session did not end" in err


class Totals:
    bytes_up, bytes_down, current = 1, 2, 3


def test_a_demo_that_hangs_is_a_failure(telemt, monkeypatch):
    monkeypatch.setattr(demo, "TIME_LIMIT", 0.2)

    async def hang(*_):
        await trio.sleep_forever()

    monkeypatch.setattr(ProxyClient, "receive_exactly", hang)
    code, _, err = telemt("demo")
    assert code == 1
    assert "it did not finish within 0.2 s" in err


# ---------------------------------------------------------------- drawing


def test_without_matplotlib_there_is_a_sentence(telemt, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    code, out, err = telemt("demo", "--plot", tmp_path / "x.png")
    assert (code, out) == (2, "")
    assert err == (
        "telemt-trio: --plot needs matplotlib, which is not installed: python3 -m pip install 'telemt-trio[plot]'\n"
    )


class Drawn:
    """Stands for matplotlib: notes what would be drawn."""

    def __init__(self, **_):
        self.plots = []
        Drawn.last = self

    def subplots(self):
        return self

    def plot(self, times, sizes, *_, label, markersize):
        self.plots.append((list(times), list(sizes), label, markersize))

    def set(self, **texts):
        self.texts = texts

    def set_ylim(self, bottom):
        self.bottom = bottom

    def legend(self):
        pass

    def savefig(self, path, **_):
        with open(path, "wb") as file:  # noqa: PTH123 - as matplotlib does
            file.write(b"\x89PNG")


@pytest.fixture
def matplotlib(monkeypatch):
    package, figure = ModuleType("matplotlib"), ModuleType("matplotlib.figure")
    package.figure, figure.Figure = figure, Drawn
    monkeypatch.setitem(sys.modules, "matplotlib", package)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", figure)


def test_a_drawing_of_record_sizes(telemt, matplotlib, tmp_path):
    path = tmp_path / "records.png"
    code, out, err = telemt("demo", "--plot", path)
    assert (code, err) == (0, "")
    assert f"Record sizes over time: {path}" in out
    assert path.read_bytes() == b"\x89PNG"
    ((times, sizes, label, _),) = Drawn.last.plots
    assert label == "FakeTLS (ee)"
    assert sum(sizes) == 1_051_640
    assert times == sorted(times)
    assert 0 < times[0] < 30_000


def test_a_drawing_that_cannot_be_written(telemt, matplotlib, tmp_path):
    code, _, err = telemt("demo", "--plot", tmp_path / "no" / "x.png")
    assert code == 2
    assert err.startswith("telemt-trio: --plot: cannot write ")
    assert "No such file or directory" in err
    assert "Traceback" not in err
