"""The 64 bytes that open a stream: golden vectors, recorded clients, and both ends against each other."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemt_trio.errors import LocalProtocolError
from telemt_trio.wire.obfuscated2 import (
    ABRIDGED,
    INTERMEDIATE,
    NONCE_SIZE,
    RESERVED_PREFIXES,
    SECURE,
    TAGS,
    aes_ctr,
    make_nonce,
    noise_source,
    open_nonce,
)

SECRET = bytes.fromhex("00112233445566778899aabbccddeeff")
RECORDED = json.loads((Path(__file__).parents[1] / "vectors" / "obfuscated2_first_bytes.json").read_text())

tags = st.sampled_from(sorted(TAGS))
dcs = st.integers(-(2**15), 2**15 - 1)
secrets = st.none() | st.binary(min_size=16, max_size=16)
# Random bytes that no other protocol starts with.
draws = st.binary(min_size=63, max_size=63).map(lambda rest: b"\x01" + rest[:4] + b"\x01" + rest[5:])


class Script:
    """An entropy source that gives out what it was told, in order, and nothing else."""

    def __init__(self, *draws):
        self.left = list(draws)

    def __call__(self, size):
        drawn = self.left.pop(0)
        assert len(drawn) == size
        return drawn


def counting(start):
    return bytes(range(start, start + NONCE_SIZE))


def keystream(cipher, size=8):
    return cipher.update(bytes(size))


# Golden vectors


def test_a_datacenter_nonce_matches_the_golden_vector():
    nonce = make_nonce(SECURE, -2, Script(counting(0x30)))

    assert nonce.wire.hex() == (
        "303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f"
        "505152535455565758595a5b5c5d5e5f60616263646566677685a75ab2a6e583"
    )
    assert keystream(nonce.encrypt).hex() == "15f351cbba489dab"
    assert keystream(nonce.decryptor()).hex() == "4fd0bc4ef0a6c502"


def test_a_fast_mode_nonce_matches_the_golden_vector():
    key, iv = bytes(range(0x80, 0xA0)), bytes(range(0xC0, 0xD0))

    nonce = make_nonce(SECURE, -2, Script(counting(0x30)), reply=(key, iv))

    assert nonce.wire.hex() == (
        "3031323334353637cfcecdcccbcac9c8c7c6c5c4c3c2c1c09f9e9d9c9b9a9998"
        "97969594939291908f8e8d8c8b8a89888786858483828180f7447d3295e7539e"
    )


def test_a_client_nonce_matches_the_golden_vector():
    nonce = make_nonce(SECURE, 4, Script(counting(0x11)), secret=SECRET)

    assert nonce.wire.hex() == (
        "1112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f30"
        "3132333435363738393a3b3c3d3e3f404142434445464748b7bd8172107919d0"
    )
    assert nonce.reply_key.hex() == "e3056b3550444ae57be3fd144c2d3a71a2edc10f09243e2caa096d152bdb4244"
    assert nonce.reply_iv.hex() == "2827262524232221201f1e1d1c1b1a19"
    assert keystream(nonce.encrypt, 16).hex() == "64979034760e845fb3d4ec1320e9680a"
    assert keystream(nonce.decryptor(), 16).hex() == "710df416b44bb53a643904d5da6251c1"


def test_the_receiver_of_the_golden_client_nonce_reads_the_same_keys():
    opened = open_nonce(make_nonce(SECURE, 4, Script(counting(0x11)), secret=SECRET).wire, SECRET)

    assert (opened.tag, opened.dc) == (SECURE, 4)
    assert opened.reply_key.hex() == "e3056b3550444ae57be3fd144c2d3a71a2edc10f09243e2caa096d152bdb4244"
    assert opened.reply_iv.hex() == "2827262524232221201f1e1d1c1b1a19"
    assert keystream(opened.decrypt, 16).hex() == "64979034760e845fb3d4ec1320e9680a"
    assert keystream(opened.encryptor(), 16).hex() == "710df416b44bb53a643904d5da6251c1"


def test_a_client_to_proxy_key_is_hashed_with_the_secret():
    wire = make_nonce(SECURE, 4, Script(counting(0x11)), secret=SECRET).wire
    key = bytes.fromhex("471901a95c2a2f73b2e16bbde29c1b32a5d28fe355b3a7bc13f8e2478f495554")
    iv = bytes.fromhex("393a3b3c3d3e3f404142434445464748")

    assert aes_ctr(key, iv).update(wire)[56:60] == SECURE


@pytest.mark.parametrize(
    ("wire", "key", "upward", "downward"),
    [
        (
            (
                "803717c1a318e11c2547e9c9c3e20b0ebd76dd42471e38c4fd4e691789bf634e"
                "00987ee512910be946119c86036c394e1d20f17354e8ce23ef36524987c44ca3"
            ),
            "5718e0e2c67876e474a1fed6e7a638f1a785325360f92a6f361f6dd43caf59f3",
            "e30663ea65147b",
            "c195774d1dfd97d9d1a1",
        ),
        (
            (
                "3365b2c5e8b021007e64e17137348d1edbbd39d11291fc6fdc990a162982c54a"
                "18037043fd097d9d707f388a2708a2d4282712d15cd9d8febffb9a10f4623c60"
            ),
            "e5e9b93620f4d19c14594a82043f573d7a80913a3b8dbb551e5a1b2011bd15be",
            "42422fc0640380",
            "b73030ac2cf4d2874446",
        ),
    ],
)
def test_snapshots_of_another_proxy_read_the_same(wire, key, upward, downward):
    wire = bytes.fromhex(wire)
    opened = open_nonce(wire, bytes.fromhex("367a189aee18fa31c190054efd4a8e95"))

    assert (opened.tag, opened.dc) == (SECURE, 2)
    assert opened.decrypt.update(b"abcdefg").hex() == upward
    assert opened.encryptor().update(bytes(range(1, 11))).hex() == downward
    # The key itself, standing where the nonce says.
    by_key = aes_ctr(bytes.fromhex(key), wire[40:56])
    by_key.update(wire)
    assert by_key.update(b"abcdefg").hex() == upward


def scripted_multiples():
    drawn = bytearray((7 * i + 3) & 0xFF for i in range(NONCE_SIZE))
    return bytes(drawn)


def test_the_second_datacenter_vector_matches():
    nonce = make_nonce(SECURE, -2, Script(scripted_multiples()))

    assert nonce.wire[:56] == scripted_multiples()[:56]
    assert nonce.wire[56:].hex() == "1490d15937249f1d"
    assert keystream(nonce.encrypt).hex() == "90a57ab4dd9e957d"
    assert nonce.reply_key.hex() == "847d766f68615a534c453e373029221b140d06fff8f1eae3dcd5cec7c0b9b2ab"
    assert nonce.reply_iv.hex() == "a49d968f88817a736c655e575049423b"
    assert keystream(nonce.decryptor()).hex() == "2064aaf65bc017aa"


def test_the_second_fast_mode_vector_matches():
    key, iv = bytes(range(32)), bytes(range(0xA0, 0xB0))

    nonce = make_nonce(SECURE, -2, Script(scripted_multiples()), reply=(key, iv))

    assert nonce.wire[8:56] == bytes(range(0xAF, 0x9F, -1)) + bytes(range(0x1F, -1, -1))
    assert nonce.wire[56:].hex() == "85a2019bd8fcf62d"
    assert (nonce.reply_key, nonce.reply_iv) == (key, iv)


@pytest.mark.parametrize("flight", RECORDED, ids=lambda flight: f"{flight['client']} {flight['tag']} {flight['dc']}")
def test_recorded_clients_are_understood(flight):
    wire = bytes.fromhex(flight["hex"])
    opened = open_nonce(wire[:NONCE_SIZE], bytes.fromhex(flight["secret"])[-16:])

    assert (opened.tag.hex(), opened.dc) == (flight["tag"], flight["dc"])


@pytest.mark.parametrize("flight", RECORDED, ids=lambda flight: f"{flight['client']} {flight['tag']} {flight['dc']}")
def test_recorded_clients_do_not_fit_another_secret(flight):
    assert open_nonce(bytes.fromhex(flight["hex"])[:NONCE_SIZE], b"another secret!!") is None


# What must not be drawn

GOOD = counting(0x11)


@pytest.mark.parametrize(
    "refused",
    [
        b"\xef" + GOOD[1:],
        *(prefix + GOOD[4:] for prefix in sorted(RESERVED_PREFIXES)),
        GOOD[:4] + bytes(4) + GOOD[8:],
    ],
    ids=lambda drawn: drawn[:8].hex(),
)
@pytest.mark.parametrize("secret", [None, SECRET])
def test_a_draw_that_looks_like_another_protocol_is_drawn_again(refused, secret):
    entropy = Script(refused, refused, GOOD)

    nonce = make_nonce(ABRIDGED, 1, entropy, secret=secret)

    assert nonce.wire[:56] == GOOD[:56]
    assert not entropy.left


def test_the_reserved_prefixes_are_those_of_the_field():
    assert {
        b"HEAD",
        b"POST",
        b"GET ",
        b"OPTI",
        b"\xee\xee\xee\xee",
        b"\xdd\xdd\xdd\xdd",
        b"\x16\x03\x01\x02",
    } == RESERVED_PREFIXES


@given(draws, tags, dcs)
def test_no_nonce_collides_even_in_fast_mode(drawn, tag, dc):
    # The chosen reply key overwrites bytes 8..55; the bytes that are looked at stay those that were drawn.
    nonce = make_nonce(tag, dc, Script(drawn), reply=(b"\xef" * 32, bytes(16)))

    assert nonce.wire[:8] == drawn[:8]


# Both ends against each other


@given(draws, tags, dcs, secrets)
def test_what_one_end_makes_the_other_opens(drawn, tag, dc, secret):
    nonce = make_nonce(tag, dc, Script(drawn), secret=secret)
    opened = open_nonce(nonce.wire, secret)

    assert len(nonce.wire) == NONCE_SIZE
    assert (opened.tag, opened.dc) == (tag, dc)
    assert (opened.reply_key, opened.reply_iv) == (nonce.reply_key, nonce.reply_iv)


@given(draws, secrets, st.lists(st.binary(max_size=70)), st.lists(st.binary(max_size=70)))
def test_both_keystreams_go_on_over_any_cuts(drawn, secret, up, down):
    nonce = make_nonce(INTERMEDIATE, 2, Script(drawn), secret=secret)
    opened = open_nonce(nonce.wire, secret)
    encryptor, decryptor = opened.encryptor(), nonce.decryptor()

    sent_up = b"".join(nonce.encrypt.update(part) for part in up)
    sent_down = b"".join(encryptor.update(part) for part in down)

    assert opened.decrypt.update(sent_up) == b"".join(up)
    assert decryptor.update(sent_down) == b"".join(down)


@given(draws, draws, tags, dcs, st.binary(max_size=200))
def test_in_fast_mode_the_datacenter_encrypts_for_the_client(client_drawn, proxy_drawn, tag, dc, data):
    client = make_nonce(tag, dc, Script(client_drawn), secret=SECRET)
    at_proxy = open_nonce(client.wire, SECRET)
    onward = make_nonce(tag, dc, Script(proxy_drawn), reply=(at_proxy.reply_key, at_proxy.reply_iv))
    at_datacenter = open_nonce(onward.wire)

    assert (at_datacenter.tag, at_datacenter.dc) == (tag, dc)
    assert (at_datacenter.reply_key, at_datacenter.reply_iv) == (client.reply_key, client.reply_iv)
    assert client.decryptor().update(at_datacenter.encryptor().update(data)) == data


@pytest.mark.parametrize("dc", [0, 1, -1, 5, -5, 6, 203, -203, 10002, -10002, 32767, -32768])
def test_every_datacenter_index_survives_the_wire(dc):
    nonce = make_nonce(SECURE, dc, Script(GOOD), secret=SECRET)

    assert open_nonce(nonce.wire, SECRET).dc == dc


def test_every_fresh_cipher_starts_at_the_beginning():
    nonce = make_nonce(SECURE, 1, Script(GOOD), secret=SECRET)
    opened = open_nonce(nonce.wire, SECRET)

    assert keystream(opened.encryptor()) == keystream(opened.encryptor()) == keystream(nonce.decryptor())


@given(st.binary(min_size=NONCE_SIZE, max_size=NONCE_SIZE), secrets)
def test_noise_is_no_nonce_or_has_a_known_tag(noise, secret):
    opened = open_nonce(noise, secret)

    assert opened is None or opened.tag in TAGS


@given(draws, st.integers(0, 31), tags)
def test_a_changed_tag_fits_no_secret(drawn, bit, tag):
    # The tags differ from each other in more than one bit, so one flipped bit never makes another tag.
    wire = bytearray(make_nonce(tag, 1, Script(drawn), secret=SECRET).wire)
    wire[56 + bit // 8] ^= 1 << bit % 8

    assert open_nonce(bytes(wire), SECRET) is None


def test_a_reply_key_and_a_secret_exclude_each_other():
    with pytest.raises(LocalProtocolError):
        make_nonce(SECURE, 1, Script(), secret=SECRET, reply=(bytes(32), bytes(16)))


def test_no_key_shows_in_a_repr():
    nonce = make_nonce(SECURE, 1, Script(GOOD), secret=SECRET)
    opened = open_nonce(nonce.wire, SECRET)

    assert repr(nonce) == "Nonce()"
    assert "key" not in repr(opened)
    assert "iv" not in repr(opened)


# ---------------------------------------------------------------- noise


def test_noise_is_one_keystream_of_a_drawn_key():
    drawn = []

    def entropy(size):
        drawn.append(bytes(range(len(drawn), len(drawn) + size)))
        return drawn[-1]

    noise = noise_source(entropy)
    stream = noise(1) + noise(0) + noise(2000) + noise(47)
    assert [len(piece) for piece in drawn] == [32, 16]
    assert stream == aes_ctr(*drawn).update(bytes(2048))
