import socket

import pytest

from telemt_trio.net import interfaces
from telemt_trio.net.interfaces import interface_addresses


def test_loopback_has_its_addresses():
    assert "127.0.0.1" in interface_addresses()["lo"]


def test_every_address_can_be_bound():
    for addresses in interface_addresses().values():
        for address in addresses:
            if address.startswith("fe80:"):
                continue  # would need its zone
            with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as sock:
                sock.bind((address, 0))


def message(kind, body):
    return interfaces._HEADER.pack(16 + len(body), kind, 0, 1, 0) + body + bytes(-len(body) % 4)


class Kernel:
    """Stands for the netlink socket and answers with what the test wrote."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def __call__(self, *_arguments):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        return None

    def settimeout(self, seconds):
        pass

    def sendto(self, data, _address):
        self.asked = data

    def recv(self, _size):
        return self.answers.pop(0)


DONE = message(3, bytes(4))
LO = 1


def attribute(kind, body):
    return interfaces._RTATTR.pack(4 + len(body), kind) + body + bytes(-len(body) % 4)


def address(family, *attributes, index=LO):
    return message(20, interfaces._IFADDRMSG.pack(family, 24, 0, 0, index) + b"".join(attributes))


def test_an_answer_in_several_reads_with_other_messages_between(monkeypatch):
    four = address(socket.AF_INET, attribute(1, bytes([10, 0, 0, 1])), attribute(3, b"lo\0"))
    six = address(socket.AF_INET6, attribute(1, bytes(15) + b"\1"))
    monkeypatch.setattr(socket, "socket", Kernel(four + message(16, b"a link"), six, DONE))
    assert interface_addresses() == {"lo": ("10.0.0.1", "::1")}


def test_our_end_of_a_point_to_point_link_counts(monkeypatch):
    far, near = attribute(1, bytes([10, 0, 0, 1])), attribute(2, bytes([10, 0, 0, 2]))
    monkeypatch.setattr(socket, "socket", Kernel(address(socket.AF_INET, far, near) + DONE))
    assert interface_addresses() == {"lo": ("10.0.0.2",)}


def test_what_is_no_ip_address_is_left_out(monkeypatch):
    odd = address(17, attribute(1, bytes(6))) + address(socket.AF_INET) + address(socket.AF_INET, b"\1\0\1\0")
    monkeypatch.setattr(socket, "socket", Kernel(odd + DONE))
    assert interface_addresses() == {}


def test_a_refusal_is_an_error(monkeypatch):
    monkeypatch.setattr(socket, "socket", Kernel(message(2, bytes(20))))
    with pytest.raises(OSError, match="does not list"):
        interface_addresses()
