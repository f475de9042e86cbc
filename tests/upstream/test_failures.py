import errno
import socket

import pytest

from telemt_trio.errors import ConfigError, UpstreamError
from telemt_trio.upstream.failures import is_hard, is_ours, reason_of


def wrapped(error):
    """``error`` as a road through a proxy hands it on."""
    outer = UpstreamError("the proxy cannot be reached")
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ECONNREFUSED", "connection refused"),
        ("ETIMEDOUT", "timed out"),
        ("ENETUNREACH", "network is unreachable"),
        ("EADDRNOTAVAIL", "the source address is not on this host"),
        ("EMFILE", "this process is out of file descriptors (raise `ulimit -n`)"),
        ("ECONNRESET", "connection reset by peer"),
    ],
)
def test_an_error_number_in_words(failing, name, words):
    assert reason_of(failing(name)) == words


def test_a_time_limit_and_what_others_have_put_into_words():
    assert reason_of(None) == "timed out"
    assert reason_of(UpstreamError("the SOCKS5 proxy refused: no")) == "the SOCKS5 proxy refused: no"
    assert reason_of(socket.gaierror(-2, "cannot resolve 'x': unknown")) == "cannot resolve 'x': unknown"
    assert reason_of(OSError("only words")) == "only words"
    assert reason_of(OSError()) == "OSError"


@pytest.mark.parametrize("name", ["ECONNREFUSED", "EADDRINUSE", "EADDRNOTAVAIL", "EINVAL", "EOPNOTSUPP"])
def test_errors_that_a_second_attempt_cannot_cure(failing, name):
    assert is_hard(failing(name))
    assert is_hard(wrapped(failing(name)))


@pytest.mark.parametrize(
    "error", [None, OSError(errno.ETIMEDOUT, ""), OSError(errno.EHOSTUNREACH, ""), UpstreamError("no"), OSError("?")]
)
def test_errors_that_may_pass(error):
    assert not is_hard(error)


def test_a_wrong_configuration_is_hard():
    assert is_hard(ConfigError("no source address"))


def test_our_own_shortage(failing):
    assert is_ours(failing("EMFILE"))
    assert is_ours(wrapped(failing("ENOBUFS")))
    assert not is_ours(failing("ECONNREFUSED"))
    assert not is_ours(socket.gaierror(errno.EMFILE, "a resolver's number means something else"))
    assert not is_ours(None)
