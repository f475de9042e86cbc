"""What the fake datacenter answers to API requests: enough for a client to connect, ask for its configuration, and move
files both ways. Everything else is refused with ``rpc_error`` 400.

Constructors are those of layer 229; what the wrappers hold is read, not checked.

Source: core.telegram.org/methods and core.telegram.org/schema.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from telemt_trio.errors import RemoteProtocolError
from telemt_trio.testing.mtproto_session import rpc_error
from telemt_trio.testing.mtproto_tl import BOOL_FALSE, BOOL_TRUE, TLReader, string, unpack_gzip, vector, word
from telemt_trio.wire.obfuscated2 import aes_ctr

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["DatacenterApi", "Method", "file_bytes"]

INVOKE_WITH_LAYER, INIT_CONNECTION = 0xDA9B0D0D, 0xC1CD5EA9
INVOKE_AFTER_MSG, INVOKE_AFTER_MSGS, INVOKE_WITHOUT_UPDATES = 0xCB9F372D, 0x3DC4B4F0, 0xBF9459B7
GZIP_PACKED = 0x3072CFA1
INPUT_CLIENT_PROXY = 0x75588B3F
JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT, JSON_OBJECT_VALUE = (
    0x3F6D7B68,
    0xC7345E6A,
    0x2BE0DFA4,
    0xB71E767A,
    0xF7444763,
    0x99C1D49D,
    0xC0DE1BD9,
)
GET_CONFIG, CONFIG, DC_OPTION = 0xC4F9186B, 0xCC1A241E, 0x18B7A10D
GET_NEAREST_DC, NEAREST_DC = 0x1FB33026, 0x8E1A1775
BIND_TEMP_AUTH_KEY = 0xCDD42A05
SAVE_FILE_PART, SAVE_BIG_FILE_PART = 0xB304A621, 0xDE7B673D
GET_FILE, FILE, FILE_UNKNOWN = 0xBE5335BE, 0x096A18D5, 0xAA963B05
GET_USERS = 0x0D91A548
INPUT_DOCUMENT_FILE_LOCATION, INPUT_PHOTO_FILE_LOCATION = 0xBAD07584, 0x40181FFE

_CONFIG_LIFETIME = 3600  # seconds
_NESTING = 16  # wrappers around one request; clients use four
_FILE_KEY = bytes(range(32))

# chat_size_max ... channels_read_media_period, then the four call timeouts: numbers no test depends on, in the order of
# the config constructor and of the size the real service sends.
_LIMITS: tuple[int, ...] = (
    200,
    200000,
    100,
    210000,
    5000,
    30000,
    300000,
    30000,
    1500,
    60000,
    2,
    172800,
    2147483647,
    2147483647,
    2419200,
)
_LIMITS += (200, 604800, 20000, 90000, 30000, 10000)

Method: TypeAlias = "Callable[[TLReader, int], bytes]"


def file_bytes(file_id: int, offset: int, size: int) -> bytes:
    """Bytes ``offset`` to ``offset + size`` of the file the datacenter serves under ``file_id``: the same every time.

    An AES-CTR keystream, so that any part can be made without the ones before it.
    """
    block, skip = divmod(offset, 16)
    start = (file_id << 64 | block).to_bytes(16, "big")
    return aes_ctr(_FILE_KEY, start).update(bytes(skip + size))[skip:]


class DatacenterApi:
    """The answers of a datacenter, or of all of them: a request carries the index the client named.

    ``unix()`` is the time in seconds, ``file_size`` the size in bytes of every file served, ``media`` lists the indices
    that have a separate media cluster (clients then ask for the negative index). ``methods`` adds answers by
    constructor: a callable that gets a reader behind the constructor and the index, and returns the serialized result;
    a :class:`~telemt_trio.errors.RemoteProtocolError` of it closes the connection. ``uploads`` holds what clients
    uploaded: file id to part number to bytes. ``layer`` is what the last client said.
    """

    def __init__(
        self,
        unix: Callable[[], float],
        *,
        file_size: int = 4 << 20,
        media: frozenset[int] = frozenset(),
        methods: Mapping[int, Method] | None = None,
    ) -> None:
        self.uploads: dict[int, dict[int, bytes]] = {}
        self.layer: int | None = None
        self._depth = 0
        self._unix = unix
        self._file_size = file_size
        self._media = media
        self._methods: dict[int, Method] = {
            INVOKE_WITH_LAYER: self._invoke_with_layer,
            INIT_CONNECTION: self._init_connection,
            INVOKE_AFTER_MSG: self._invoke_after_msg,
            INVOKE_AFTER_MSGS: self._invoke_after_msgs,
            INVOKE_WITHOUT_UPDATES: self.answer,
            GZIP_PACKED: lambda query, dc: self.answer(TLReader(unpack_gzip(query.string())), dc),
            GET_CONFIG: self._config,
            GET_NEAREST_DC: lambda _query, dc: word(NEAREST_DC) + string(b"DE") + word(dc) + word(dc),
            GET_USERS: lambda _query, _dc: rpc_error(401, "AUTH_KEY_UNREGISTERED"),  # nobody is signed in
            BIND_TEMP_AUTH_KEY: lambda _query, _dc: BOOL_TRUE,
            SAVE_FILE_PART: self._save_file_part,
            SAVE_BIG_FILE_PART: self._save_big_file_part,
            GET_FILE: self._get_file,
            **(methods or {}),
        }

    def answer(self, query: TLReader, dc: int) -> bytes:
        """The result of one request, or a refusal. Wrappers call this again for what they wrap."""
        method = self._methods.get(query.word())
        if method is None:
            return rpc_error(400, "METHOD_NOT_IMPLEMENTED")
        if self._depth == _NESTING:
            raise RemoteProtocolError("requests wrapped too deeply")
        self._depth += 1
        try:
            return method(query, dc)
        finally:
            self._depth -= 1

    def uploaded(self, file_id: int) -> bytes:
        """The parts of one upload in order, joined."""
        parts = self.uploads.get(file_id, {})
        return b"".join(parts[number] for number in sorted(parts))

    def _invoke_with_layer(self, query: TLReader, dc: int) -> bytes:
        self.layer = query.word()
        return self.answer(query, dc)

    def _init_connection(self, query: TLReader, dc: int) -> bytes:
        flags = query.word()
        query.word()  # api_id
        for _text in range(6):  # device, system, application, three languages
            query.string()
        if flags & 1:
            query.expect(INPUT_CLIENT_PROXY)
            query.string()
            query.word()
        if flags & 2:
            _skip_json(query)
        return self.answer(query, dc)

    def _invoke_after_msg(self, query: TLReader, dc: int) -> bytes:
        query.long()
        return self.answer(query, dc)

    def _invoke_after_msgs(self, query: TLReader, dc: int) -> bytes:
        for _ in range(query.vector_size()):
            query.long()
        return self.answer(query, dc)

    def _config(self, _query: TLReader, dc: int) -> bytes:
        # this_dc has to be the index of the connection: TDLib asks again, at once and for ever, when it is another.
        now = int(self._unix())
        head = word(CONFIG) + word(0) + word(now) + word(now + _CONFIG_LIFETIME) + BOOL_FALSE + word(dc)
        tail = string(b"https://t.me/") + word(1024) + word(4096) + word(4)
        return head + vector(self._dc_options()) + string(b"") + b"".join(map(word, _LIMITS)) + tail

    def _dc_options(self) -> list[bytes]:
        """Addresses from the documentation range: a client behind a proxy names the index only."""
        plain = [(0, dc, b"192.0.2.%d" % dc) for dc in range(1, 6)]
        media = [(2, dc, b"192.0.2.%d" % (dc + 100)) for dc in sorted(self._media)]
        options = plain + media
        return [word(DC_OPTION) + word(flags) + word(dc) + string(host) + word(443) for flags, dc, host in options]

    def _save_file_part(self, query: TLReader, _dc: int) -> bytes:
        file_id, part = query.long(), query.word()
        return self._keep(file_id, part, query.string())

    def _save_big_file_part(self, query: TLReader, _dc: int) -> bytes:
        file_id, part = query.long(), query.word()
        query.word()  # how many parts there are
        return self._keep(file_id, part, query.string())

    def _keep(self, file_id: int, part: int, data: bytes) -> bytes:
        self.uploads.setdefault(file_id, {})[part] = data
        return BOOL_TRUE

    def _get_file(self, query: TLReader, _dc: int) -> bytes:
        query.word()  # precise, cdn_supported: nothing here depends on them
        if query.word() not in {INPUT_DOCUMENT_FILE_LOCATION, INPUT_PHOTO_FILE_LOCATION}:
            return rpc_error(400, "LOCATION_INVALID")
        file_id = query.long()
        query.long()
        query.string()
        query.string()
        offset, limit = query.long(), query.word()
        size = max(0, min(limit, self._file_size - offset))
        head = word(FILE) + word(FILE_UNKNOWN) + word(int(self._unix()))
        return head + string(file_bytes(file_id, offset, size))


def _skip_json(query: TLReader, depth: int = 0) -> None:
    """Step over a JSONValue: clients describe their device in one."""
    kind = query.word()
    if depth > 16:
        raise RemoteProtocolError("JSON nested too deeply")
    if kind == JSON_BOOL:
        query.word()
    elif kind == JSON_NUMBER:
        query.raw(8)
    elif kind == JSON_STRING:
        query.string()
    elif kind == JSON_ARRAY:
        for _ in range(query.vector_size()):
            _skip_json(query, depth + 1)
    elif kind == JSON_OBJECT:
        for _ in range(query.vector_size()):
            query.expect(JSON_OBJECT_VALUE)
            query.string()
            _skip_json(query, depth + 1)
    elif kind != JSON_NULL:
        raise RemoteProtocolError("a JSON value of an unknown kind")
