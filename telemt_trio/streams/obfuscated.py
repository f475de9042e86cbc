"""The ciphers of obfuscated2 as a stream: AES-256-CTR each way, continuous over the whole life of the stream.

It starts behind the 64-byte nonce: the ciphers come from :mod:`telemt_trio.wire.obfuscated2`, already at their offsets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from telemt_trio.streams.layer import Layer

if TYPE_CHECKING:
    import trio
    from cryptography.hazmat.primitives.ciphers import CipherContext

    from telemt_trio.streams.layer import Buffer

__all__ = ["ObfuscatedStream"]


@final
class ObfuscatedStream(Layer):
    """Ciphertext on ``inner``, plaintext here. ``decrypt`` and ``encrypt`` may each be None, which changes nothing.

    The keystreams move with the bytes, so neither cipher may be used elsewhere.
    """

    def __init__(
        self,
        inner: trio.abc.HalfCloseableStream,
        decrypt: CipherContext | None,
        encrypt: CipherContext | None,
    ) -> None:
        super().__init__(inner)
        self._decrypt = decrypt
        self._encrypt = encrypt

    def _encode(self, data: Buffer) -> Buffer:
        return data if self._encrypt is None else self._encrypt.update(data)

    async def _receive(self, max_bytes: int | None) -> bytes | bytearray:
        data = await self.inner.receive_some(max_bytes)
        return data if self._decrypt is None else self._decrypt.update(data)
