"""The datacenter's side of key creation and of the messages under a key, against a client written here."""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemt_trio.errors import RemoteProtocolError
from telemt_trio.testing.auth_key import DH_PRIME, AuthKeyring, AuthKeyServer, plain_message
from telemt_trio.testing.mtproto_api import DatacenterApi, file_bytes
from telemt_trio.testing.mtproto_crypto import (
    ServerKey,
    ige_decrypt,
    ige_encrypt,
    message_cipher,
    message_key,
    sha1,
)
from telemt_trio.testing.mtproto_session import MTProtoServer
from telemt_trio.testing.mtproto_tl import TLReader, long, string, vector, word

NOW = 1_700_000_000.25
RSA_KEY = ServerKey.generate()


def seeded(seed):
    return random.Random(seed).randbytes


def new_keyring():
    return AuthKeyring(RSA_KEY, seeded(1), lambda: NOW)


# ---------------------------------------------------------------- a client


def old_padding(data, entropy):
    block = sha1(data) + data
    return (block + entropy(255 - len(block))).rjust(256, b"\0")


def rsa_pad(data, entropy):
    """RSA_PAD of core.telegram.org/mtproto/auth_key, step 4.1."""
    while True:
        padded = data + entropy(192 - len(data))
        temporary = entropy(32)
        hashed = padded[::-1] + hashlib.sha256(temporary + padded).digest()
        sealed = ige_encrypt(hashed, temporary, bytes(32))
        mask = hashlib.sha256(sealed).digest()
        block = bytes(a ^ b for a, b in zip(temporary, mask, strict=True)) + sealed
        if int.from_bytes(block, "big") < RSA_KEY.modulus:
            return block


class KeyClient:
    """Creates a key with any receiver of payloads, checking everything a real client checks."""

    def __init__(self, receive, *, seed=2, pad=rsa_pad, dc=None, expires_in=None):
        self.receive = receive
        self.entropy = seeded(seed)
        self.pad = pad
        self.dc, self.expires_in = dc, expires_in
        self.nonce = self.entropy(16)
        self.new_nonce = self.entropy(32)

    def call(self, body):
        [payload] = self.receive(plain_message(4, body + self.entropy(20)))  # TDLib pads like this
        answer = TLReader(payload)
        assert answer.raw(8) == bytes(8)
        message_id = answer.long()
        assert (message_id & 3, message_id >> 32) == (1, int(NOW))
        assert answer.word() == answer.left
        return answer

    def ask_pq(self, constructor=0xBE7E8EF1):
        answer = self.call(word(constructor) + self.nonce)
        answer.expect(0x05162463)
        assert answer.raw(16) == self.nonce
        self.server_nonce = answer.raw(16)
        self.pq = answer.string()
        assert answer.vector_size() == 1
        assert answer.long() == RSA_KEY.fingerprint
        return int.from_bytes(self.pq, "big")

    def inner(self):
        kinds = {
            (False, False): 0x83C95AEC,
            (True, False): 0xA9F55F95,
            (False, True): 0x3C6A84D4,
            (True, True): 0x56FDDF88,
        }
        kind = kinds[self.dc is not None, self.expires_in is not None]
        data = word(kind) + string(self.pq) + string(self.p) + string(self.q) + self.nonce + self.server_nonce
        tail = [word(number) for number in (self.dc, self.expires_in) if number is not None]
        return data + self.new_nonce + b"".join(tail)

    def ask_dh(self):
        self.p, self.q = (0x494C553B).to_bytes(4, "big"), (0x53911073).to_bytes(4, "big")
        assert int.from_bytes(self.p, "big") * int.from_bytes(self.q, "big") == int.from_bytes(self.pq, "big")
        block = int.from_bytes(self.pad(self.inner(), self.entropy), "big")
        sealed = pow(block, RSA_KEY.exponent, RSA_KEY.modulus).to_bytes(256, "big")
        request = word(0xD712E4BE) + self.nonce + self.server_nonce + string(self.p) + string(self.q)
        answer = self.call(request + long(RSA_KEY.fingerprint) + string(sealed))
        answer.expect(0xD0E8075C)
        assert answer.raw(32) == self.nonce + self.server_nonce
        both = sha1(self.server_nonce, self.new_nonce)
        self.cipher = (
            sha1(self.new_nonce, self.server_nonce) + both[:12],
            both[12:] + sha1(self.new_nonce, self.new_nonce) + self.new_nonce[:4],
        )
        opened = ige_decrypt(answer.string(), *self.cipher)
        inner = TLReader(opened[20:])
        inner.expect(0xB5890DBA)
        assert inner.raw(32) == self.nonce + self.server_nonce
        assert inner.word() == 3
        assert int.from_bytes(inner.string(), "big") == DH_PRIME
        self.g_a = int.from_bytes(inner.string(), "big")
        assert 1 << 1984 < self.g_a < DH_PRIME - (1 << 1984)
        assert inner.word() == int(NOW)
        assert sha1(opened[20 : len(opened) - inner.left]) == opened[:20]

    def finish(self):
        secret = int.from_bytes(self.entropy(256), "big")
        g_b = pow(3, secret, DH_PRIME).to_bytes(256, "big")
        data = word(0x6643B654) + self.nonce + self.server_nonce + long(0) + string(g_b)
        hashed = sha1(data) + data
        sealed = ige_encrypt(hashed + self.entropy(-len(hashed) % 16), *self.cipher)
        answer = self.call(word(0xF5045F1F) + self.nonce + self.server_nonce + string(sealed))
        answer.expect(0x3BCBF734)
        assert answer.raw(32) == self.nonce + self.server_nonce
        key = pow(self.g_a, secret, DH_PRIME).to_bytes(256, "big")
        assert answer.raw(16) == sha1(self.new_nonce, b"\x01", sha1(key)[:8])[4:]
        return key

    def create(self):
        self.ask_pq()
        self.ask_dh()
        return self.finish()

    def salt(self):
        return int.from_bytes(self.new_nonce[:8], "little") ^ int.from_bytes(self.server_nonce[:8], "little")


# ---------------------------------------------------------------- ciphers


def test_ige_matches_two_other_implementations():
    # Telethon's cryptg 0.6.0 and Pyrogram's tgcrypto 1.2.8 agree on these bytes.
    key, iv, plain = bytes(range(32)), bytes(range(32, 64)), bytes(range(64))
    sealed = bytes.fromhex(
        "42e66e1a756cccf5b27acc47523ad074ee39bf54e3db37bbdf415df6b400fca9"
        "77f708327c9e9341cc3dc8efd31e76463daa65b1f0d0252f790d77f1824a662c"
    )
    assert ige_encrypt(plain, key, iv) == sealed
    assert ige_decrypt(sealed, key, iv) == plain


@given(blocks=st.binary(max_size=160), key=st.binary(min_size=32, max_size=32), iv=st.binary(min_size=32, max_size=32))
def test_ige_chains_each_block_to_the_one_before(blocks, key, iv):
    plain = blocks[: len(blocks) & ~15]
    sealed = ige_encrypt(plain, key, iv)
    before, earlier = iv[:16], iv[16:]
    for at in range(0, len(plain), 16):
        block = plain[at : at + 16]
        single = ige_encrypt(block, key, before + earlier)  # what follows depends on the last block alone
        assert sealed[at : at + 16] == single
        before, earlier = single, block
    assert ige_decrypt(sealed, key, iv) == plain


def test_the_public_key_reads_as_clients_expect():
    assert len(RSA_KEY.public_pem()) == 425
    assert RSA_KEY.public_pem().startswith(b"-----BEGIN RSA PUBLIC KEY-----\n")
    assert str(RSA_KEY.modulus) in repr(RSA_KEY)
    assert "_q" not in repr(RSA_KEY)
    known = ServerKey(int.from_bytes(TELEGRAM_KEY[9:265], "big"), 65537, 1, 1)
    assert known.fingerprint == 0xD09D1D85DE64FD85


# The public key of Telegram's datacenters (PKCS#1, DER): its modulus stands at offset 9, its fingerprint is known.
TELEGRAM_KEY = base64.b64decode(
    """
    MIIBCgKCAQEA6LszBcC1LGzyr992NzE0ieY+BSaOW622Aa9Bd4ZHLl+TuFQ4lo4g
    5nKaMBwK/BIb9xUfg0Q29/2mgIR6Zr9krM7HjuIcCzFvDtr+L0GQjae9H0pRB2OO
    62cECs5HKhT5DZ98K33vmWiLowc621dQuwKWSQKjWf50XYFw42h21P2KXUGyp2y/
    +aEyZ+uVgLLQbRA1dEjSDZ2iGRy12Mk5gpYc397aYp438fsJoHIgJ2lgMv5h7WY9
    t6N/byY9Nw9p21Og3AoXSL2q/2IJ1WRUhebgAdGVMlV1fkuOQoEzR7EdpqtQD9Cs
    5+bfo3Nhmcyvk5ftB0WkJ9z6bNZ7yxrP8wIDAQAB
    """
)


# ---------------------------------------------------------------- key creation


@pytest.mark.parametrize("pad", [old_padding, rsa_pad])
@pytest.mark.parametrize(("dc", "expires_in"), [(None, None), (2, None), (-4, 86400), (None, 60)])
def test_client_and_server_end_with_the_same_key(pad, dc, expires_in):
    keyring = new_keyring()
    server = AuthKeyServer(keyring)
    client = KeyClient(server.receive, pad=pad, dc=dc, expires_in=expires_in)
    key = client.create()
    [made] = server.keys
    assert made.data == key
    assert made.key_id == sha1(key)[-8:]
    assert (made.salt, made.dc, made.expires_in) == (client.salt(), dc, expires_in)
    assert keyring.keys == {made.key_id: made}
    assert key.hex() not in repr(made)


def test_either_request_for_pq_is_answered_and_pq_has_two_prime_factors():
    client = KeyClient(AuthKeyServer(new_keyring()).receive)
    assert client.ask_pq(0x60469778) == client.ask_pq(0xBE7E8EF1) == 0x494C553B * 0x53911073 < 1 << 63


def test_starting_again_forgets_the_exchange_before():
    server = AuthKeyServer(new_keyring())
    client = KeyClient(server.receive)
    client.ask_pq()
    client.ask_dh()
    client.ask_pq()
    with pytest.raises(RemoteProtocolError):
        client.finish()
    assert server.keys == []


@pytest.mark.parametrize("wrong", ["nonce", "server_nonce", "factor", "fingerprint", "block", "padding"])
def test_a_wrong_step_two_is_refused(wrong):
    client = KeyClient(AuthKeyServer(new_keyring()).receive)
    client.ask_pq()
    client.p, client.q = (0x494C553B).to_bytes(4, "big"), (0x53911073).to_bytes(4, "big")
    block = rsa_pad(client.inner(), client.entropy)
    if wrong == "padding":
        block = block[:-1] + bytes((block[-1] ^ 1,))
    sealed = pow(int.from_bytes(block, "big"), 65537, RSA_KEY.modulus).to_bytes(256, "big")
    if wrong == "block":
        sealed = b"\xff" * 256
    nonces = client.nonce + client.server_nonce
    nonces = {"nonce": bytes(16) + nonces[16:], "server_nonce": nonces[:16] + bytes(16)}.get(wrong, nonces)
    first = b"\0\0\0\5" if wrong == "factor" else client.p
    fingerprint = long(RSA_KEY.fingerprint ^ (wrong == "fingerprint"))
    with pytest.raises(RemoteProtocolError):
        client.call(word(0xD712E4BE) + nonces + string(first) + string(client.q) + fingerprint + string(sealed))


@pytest.mark.parametrize("g_b", [0, 1, DH_PRIME - 1, DH_PRIME])
def test_a_public_half_out_of_range_is_refused(g_b):
    with pytest.raises(RemoteProtocolError):
        new_keyring().agree(g_b.to_bytes(256, "big"))


@given(body=st.binary(max_size=300))
def test_any_unencrypted_body_is_answered_or_refused(body):
    server = AuthKeyServer(FUZZED)
    for payload in (body, plain_message(4, body), plain_message(4, word(0xBE7E8EF1) + body)):
        try:
            answers = server.receive(payload)
        except RemoteProtocolError:
            continue
        assert all(len(answer) % 4 == 0 for answer in answers)


FUZZED = new_keyring()


# ---------------------------------------------------------------- messages under a key


class MessageClient:
    """Talks to an MTProtoServer under a key it created with it."""

    def __init__(self, *, dc=2, api=None, keyring=None):
        self.keyring = keyring or new_keyring()
        self.api = api or DatacenterApi(lambda: NOW, media=frozenset((2,)))
        self.server = MTProtoServer(self.keyring, self.api, dc)
        exchange = KeyClient(self.server.receive)
        self.key = exchange.create()
        self.salt = exchange.salt()
        self.session_id = b"session!"
        self.entropy = seeded(3)
        self.next_id = 8
        self.greeted = False

    def seal(self, body, *, tail=b""):
        self.next_id += 4
        plain = long(self.salt) + self.session_id + long(self.next_id) + word(1) + word(len(body)) + body
        plain += self.entropy(12 + -(len(plain) + 12) % 16)
        msg_key = message_key(self.key, plain, from_server=False)
        sealed = ige_encrypt(plain, *message_cipher(self.key, msg_key, from_server=False))
        return sha1(self.key)[-8:] + msg_key + sealed + tail

    def open(self, payload):
        assert payload[:8] == sha1(self.key)[-8:]
        plain = ige_decrypt(payload[24:], *message_cipher(self.key, payload[8:24], from_server=True))
        assert message_key(self.key, plain, from_server=True) == payload[8:24]
        header = TLReader(plain)
        salt, session_id, message_id, _sequence = header.long(), header.raw(8), header.long(), header.word()
        body = header.raw(header.word())
        assert 12 <= header.left <= 1024
        assert session_id == self.session_id
        assert message_id & 1
        return salt, TLReader(body)

    def send(self, body, **options):
        """The answers, without the greeting that comes before the first."""
        answers = [self.open(payload)[1] for payload in self.server.receive(self.seal(body, **options))]
        if not self.greeted:
            self.greeted = True
            answers.pop(0).expect(0x9EC20908)
        return answers

    def call(self, request):
        [answer] = self.send(request)
        answer.expect(0xF35C6D01)
        assert answer.long() == self.next_id
        return answer


@pytest.mark.parametrize("request_", [word(0x7ABE77EC) + long(77), word(0xF3427B8C) + long(77) + word(35)])
def test_a_ping_is_answered_with_its_number(request_):
    client = MessageClient()
    [pong] = client.send(request_)
    assert (pong.word(), pong.long(), pong.long()) == (0x347773C5, client.next_id, 77)


def test_words_of_padding_behind_a_message_do_no_harm():
    [pong] = MessageClient().send(word(0x7ABE77EC) + long(5), tail=bytes(12))
    pong.expect(0x347773C5)


def test_a_wrong_salt_is_corrected():
    client = MessageClient()
    right, client.salt = client.salt, 12345
    [payload] = client.server.receive(client.seal(word(0x7ABE77EC) + long(1)))
    salt, body = client.open(payload)
    assert (body.word(), body.long(), body.word(), body.word(), body.long()) == (
        0xEDAB447B, client.next_id, 1, 48, right,
    )  # fmt: skip
    assert salt == right


def test_a_key_nobody_created_is_a_transport_error():
    server = MTProtoServer(new_keyring(), DatacenterApi(lambda: NOW), 2)
    assert server.receive(b"nokey..." + bytes(64)) == [(-404).to_bytes(4, "little", signed=True)]
    assert server.receive(b"") == []


def test_a_key_works_on_another_connection_and_a_session_is_greeted_once():
    client = MessageClient()
    client.send(word(0x7ABE77EC) + long(1))
    client.server = MTProtoServer(client.keyring, client.api, 2)
    [pong] = client.send(word(0x7ABE77EC) + long(2))
    pong.expect(0x347773C5)


def test_containers_and_packed_messages_are_opened():
    client = MessageClient()

    def inside(number, body):
        return long(number) + word(1) + word(len(body)) + body

    ping = word(0x7ABE77EC) + long(9)
    packed = word(0x3072CFA1) + string(gzip.compress(ping, mtime=0))
    thin = word(0x3072CFA1) + string(zlib.compress(ping))
    acknowledged = word(0x62D6B459) + vector([long(1)])
    messages = [inside(12, ping), inside(16, packed), inside(20, thin), inside(24, acknowledged)]
    answers = client.send(word(0x73F1F8DC) + word(len(messages)) + b"".join(messages))
    assert [(answer.word(), answer.long(), answer.long()) for answer in answers] == [
        (0x347773C5, number, 9) for number in (12, 16, 20)
    ]


def wrapped(query):
    """invokeWithLayer and initConnection as TDLib sends them: with a proxy and a description in JSON."""
    values = [word(0x3F6D7B68), word(0xC7345E6A) + word(0x997275B5), word(0x2BE0DFA4) + bytes(8)]
    values += [word(0xB71E767A) + string(b"text"), word(0xF7444763) + vector([word(0x3F6D7B68)])]
    json = word(0x99C1D49D) + vector([word(0xC0DE1BD9) + string(b"key") + value for value in values])
    texts = b"".join(string(text) for text in (b"device", b"system", b"1", b"en", b"", b"en"))
    proxy = word(0x75588B3F) + string(b"127.0.0.1") + word(443)
    return word(0xDA9B0D0D) + word(229) + word(0xC1CD5EA9) + word(3) + word(1) + texts + proxy + json + query


def test_the_configuration_names_the_datacenter_of_the_connection():
    client = MessageClient(dc=4)
    answer = client.call(wrapped(word(0xC4F9186B)))
    answer.expect(0xCC1A241E)
    assert (answer.word(), answer.word(), answer.word()) == (0, int(NOW), int(NOW) + 3600)
    answer.word()
    assert answer.word() == 4
    options = []
    for _ in range(answer.vector_size()):
        answer.expect(0x18B7A10D)
        options.append((answer.word(), answer.word(), answer.string(), answer.word()))
    assert [(flags, dc) for flags, dc, _, _ in options] == [(0, 1), (0, 2), (0, 3), (0, 4), (0, 5), (2, 2)]
    assert client.api.layer == 229


def test_files_go_both_ways_byte_for_byte():
    client = MessageClient()
    content = os.urandom(100_000)
    for part in (1, 0):
        answer = client.call(word(0xB304A621) + long(7) + word(part) + string(content[part * 65536 :][:65536]))
        assert answer.word() == 0x997275B5
    client.call(word(0xDE7B673D) + long(8) + word(0) + word(1) + string(b"big"))
    assert (client.api.uploaded(7), client.api.uploaded(8), client.api.uploaded(9)) == (content, b"big", b"")
    place = word(0xBAD07584) + long(3) + long(0) + string(b"") + string(b"")
    received = b""
    for offset in (0, 65536):
        answer = client.call(word(0xBE5335BE) + word(0) + place + long(offset) + word(65536))
        answer.expect(0x096A18D5)
        answer.raw(8)
        received += answer.string()
    assert received == file_bytes(3, 0, 131072) == file_bytes(3, 0, 5) + file_bytes(3, 5, 131067)


def test_what_is_not_known_is_refused_and_methods_can_be_added():
    api = DatacenterApi(lambda: NOW, methods={0x12345678: lambda query, dc: word(dc) + query.raw(4)})
    client = MessageClient(api=api, dc=5)
    refusal = client.call(word(0x0BADCAFE))
    assert (refusal.word(), refusal.int32(), refusal.string()) == (0x2144CA19, 400, b"METHOD_NOT_IMPLEMENTED")
    assert client.call(word(0x12345678) + b"more").rest() == word(5) + b"more"
    assert client.server.requests == {0x0BADCAFE: 1, 0x12345678: 1}


def test_the_other_services_are_answered():
    client = MessageClient()
    [salts] = client.send(word(0xB921BD04) + word(1))
    assert (salts.word(), salts.long(), salts.word(), salts.word()) == (0xAE500895, client.next_id, int(NOW), 1)
    assert (salts.word() <= NOW <= salts.word(), salts.long()) == (True, client.salt)
    [destroyed] = client.send(word(0xE7512126) + long(4))
    assert (destroyed.word(), destroyed.long()) == (0xE22045FC, 4)
    [states] = client.send(word(0xDA69FB52) + vector([long(1), long(2)]))
    assert (states.word(), states.long(), states.string()) == (0x04DEB57D, client.next_id, b"\4\4")
    assert client.call(word(0x58E4A740) + long(1)).word() == 0x5E2AD36E
    assert client.call(word(0xD1435160)).word() == 0xF660E1D4


@pytest.mark.parametrize(
    "body",
    [
        (word(0x73F1F8DC) + word(1) + long(4) + word(1) + word(0x7FFFFFF)) * 4,
        word(0x3072CFA1) + string(b"not gzip"),
        word(0x3072CFA1) + string(gzip.compress(bytes(1 << 24) + b"more")),
        word(0xBF9459B7) * 5000,
    ],
)
def test_nesting_and_packing_have_limits(body):
    with pytest.raises(RemoteProtocolError):
        MessageClient().send(body)


def test_containers_in_containers_are_refused():
    body = word(0x62D6B459)
    for _ in range(5):
        body = word(0x73F1F8DC) + word(1) + long(4) + word(1) + word(len(body)) + body
    with pytest.raises(RemoteProtocolError):
        MessageClient().send(body)


PERSISTENT = MessageClient()
KNOWN = [0x73F1F8DC, 0x3072CFA1, 0xDA9B0D0D, 0xC1CD5EA9, 0xBE5335BE, 0xDA69FB52, 0xB304A621, 0x3DC4B4F0]


@settings(max_examples=200)
@given(body=st.binary(max_size=200), known=st.sampled_from([b"", *map(word, KNOWN)]))
def test_any_encrypted_body_is_answered_or_refused(body, known):
    for payload in (PERSISTENT.seal(known + body), sha1(PERSISTENT.key)[-8:] + body):
        try:
            answers = PERSISTENT.server.receive(payload)
        except RemoteProtocolError:
            continue
        assert all(len(answer) % 4 == 0 for answer in answers)
