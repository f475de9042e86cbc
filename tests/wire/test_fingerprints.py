"""JA3 and JA4 of golden, recorded and broken hellos."""

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemt_trio.errors import RemoteProtocolError
from telemt_trio.wire.client_hello import parse_client_hello
from telemt_trio.wire.fingerprints import ja3, ja4
from telemt_trio.wire.hello_extensions import write_extension

VECTORS = Path(__file__).parents[1] / "vectors"
RECORDED = [bytes.fromhex(each["hex"]) for each in json.loads((VECTORS / "tdlib_client_hello.json").read_text())]
FLIGHTS = json.loads((VECTORS / "faketls_first_flight.json").read_text())

GOLDEN = bytes.fromhex((VECTORS / "golden_client_hello.hex").read_text())
NAMELESS = bytes.fromhex(  # its server_name extension holds an empty list
    "160301006b010000670303" + "11" * 32 + "00"
    "000a0a0a13011302c02f00ff"
    "01000034"
    "000000020000"
    "001000050003026832"
    "000a000800060a0a0017001d"
    "000b00020100"
    "000d0006000404030804"
    "002b00050403040303"
)


def sized(data, width=2):
    return len(data).to_bytes(width, "big") + data


def hello(*extensions, suites=b"\x13\x01", legacy=b"\x03\x03"):
    written = b"".join(write_extension(*extension) for extension in extensions)
    body = legacy + bytes(32) + b"\0" + sized(suites) + b"\x01\0" + sized(written)
    return parse_client_hello(b"\x16\x03\x01" + sized(b"\x01" + sized(body, 3)))


def test_the_golden_hello():
    read = parse_client_hello(GOLDEN)
    assert ja3(read) == ("771,4865-4866-4867,0-10-16-51-43,29,", "8628e06d1bd03d1c1194f1a84cdf50f9")
    assert ja4(read) == ("t13d0305h2_1301,1302,1303_000a,002b,0033", "t13d0305h2_55b375c5d22e_3a62dcb2b4a6")


def test_a_hello_with_an_empty_list_of_names():
    read = parse_client_hello(NAMELESS)
    assert read.server_name is None
    assert ja3(read) == ("771,4865-4866-49199-255,0-16-10-11-13-43,23-29,0", "d5969b135ff5da9ff89540990abe687c")
    raw, text = ja4(read)
    assert raw == "t13d0406h2_00ff,1301,1302,c02f_000a,000b,000d,002b_0403,0804"
    assert text == "t13d0406h2_09ff34cf8194_fb71836bce29"


def test_hellos_of_one_shuffling_client_share_a_ja4_but_no_ja3():
    reads = [parse_client_hello(record) for record in RECORDED]
    assert len({ja3(read)[1] for read in reads}) == len(reads)
    (text,) = {ja4(read)[1] for read in reads}
    assert text.startswith("t13d1516h2_8daaf6152771_")  # what it imitates: Chrome
    assert {ja4(read)[0].count(",") for read in reads} == {14 + 13 + 10}


def test_the_recorded_flights():
    marks = [ja4(parse_client_hello(bytes.fromhex(flight["client_hello"])))[1][:23] for flight in FLIGHTS]
    assert marks == ["t13d1516h2_8daaf6152771"] * 4 + ["t13d1515h2_8daaf6152771"]


def test_a_hello_with_nothing_to_list():
    read = hello(suites=b"\x0a\x0a", legacy=b"\x03\x01")
    assert ja3(read)[0] == "769,,,,"
    assert ja4(read) == ("t10i000000__", "t10i000000_000000000000_000000000000")


@pytest.mark.parametrize(
    ("legacy", "marker"),
    [
        ("0304", "13"),
        ("0303", "12"),
        ("0302", "11"),
        ("0301", "10"),
        ("0300", "s3"),
        ("0002", "s2"),
        ("feff", "d1"),
        ("fefd", "d2"),
        ("fefc", "d3"),
        ("0305", "00"),
    ],
)
def test_versions_have_two_characters(legacy, marker):
    assert ja4(hello(legacy=bytes.fromhex(legacy)))[0][1:3] == marker


@pytest.mark.parametrize(
    ("listed", "marker"), [("060a0a03040303", "13"), ("0403030302", "12"), ("02fafa", "11"), ("00", "11")]
)
def test_the_newest_version_that_is_listed_counts(listed, marker):
    assert ja4(hello((0x2B, bytes.fromhex(listed)), legacy=b"\x03\x02"))[0][1:3] == marker


@pytest.mark.parametrize(
    ("protocol", "marker"),
    [
        (b"h2", "h2"),
        (b"http/1.1", "h1"),
        (b"x", "xx"),
        (b"", "00"),
        (b"h\xff", "6f"),
        (b"\xab", "ab"),
        (b"\x0a\x0b\x0c", "0c"),
        (b"a-", "6d"),
    ],
)
def test_the_marker_of_the_first_protocol(protocol, marker):
    assert ja4(hello((0x10, sized(sized(protocol, 1) + b"\x02h2"))))[0] == f"t12i0101{marker}_1301_"


def test_counts_stop_at_99():
    read = hello(*((kind, b"") for kind in range(0x100, 0x180)), suites=bytes(300))
    assert ja4(read)[0][4:8] == "9999"


def test_signature_algorithms_keep_their_order():
    read = hello((0x0D, bytes.fromhex("0006080404031a1a")))
    assert ja4(read)[0].endswith("_000d_0804,0403")
    assert ja4(read)[1].endswith("_" + hashlib.sha256(b"000d_0804,0403").hexdigest()[:12])


@pytest.mark.parametrize(
    ("fingerprint", "kind", "data"),
    [
        (ja3, 0x0A, "0003001d00"),
        (ja3, 0x0A, "0004001d"),
        (ja3, 0x0A, "0002001d00"),
        (ja3, 0x0A, "00"),
        (ja3, 0x0B, ""),
        (ja3, 0x0B, "0200"),
        (ja4, 0x0D, "0003040304"),
        (ja4, 0x0D, "00060403"),
        (ja4, 0x2B, "03030403"),
        (ja4, 0x2B, "040304"),
    ],
)
def test_malformed_lists_have_no_fingerprint(fingerprint, kind, data):
    with pytest.raises(RemoteProtocolError):
        fingerprint(hello((kind, bytes.fromhex(data))))


@given(st.lists(st.tuples(st.sampled_from([0, 0x0A, 0x0B, 0x0D, 0x10, 0x2B, 0x33, 0x1A1A]), st.binary(max_size=9))))
def test_any_hello_has_a_fingerprint_or_is_refused(extensions):
    read = hello(*extensions)
    for fingerprint, size in ((ja3, 32), (ja4, 36)):
        try:
            raw, text = fingerprint(read)
        except RemoteProtocolError:
            continue
        assert raw.isascii()
        assert len(text) == size
