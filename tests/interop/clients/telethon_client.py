"""Telethon behind an MTProxy. Run as ``python telethon_client.py JOB``; see ``../conftest.py`` for jobs and answers.

Classic and dd secrets use Telethon's own MTProxy connections, ee secrets those of TelethonFakeTLS.
"""

import asyncio
import collections
import hashlib
import json
import logging
import os
import sys
from pathlib import Path

import TelethonFakeTLS
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from telethon import TelegramClient
from telethon.crypto import rsa
from telethon.network import MTProtoPlainSender, MTProtoSender
from telethon.network.connection import tcpmtproxy
from telethon.sessions import StringSession
from telethon.tl.functions import PingRequest, ReqPqMultiRequest
from telethon.tl.types import InputDocumentFileLocation, ResPQ

NOWHERE = "192.0.2.1"  # a datacenter's address; through a proxy it is never used
PART_KB = 512


class Loggers(dict):
    def __missing__(self, name):
        return logging.getLogger(name)


class FastCTR:
    """Telethon's AES-CTR is pure Python, 7 s a megabyte; the same cipher from OpenSSL."""

    def __init__(self, key, iv):
        self.encrypt = self.decrypt = Cipher(AES(key), CTR(iv)).encryptor().update


class FakeTLS(TelethonFakeTLS.ConnectionTcpMTProxyFakeTLS):
    """The codec keeps the hello in a dictionary of its class: with its own, connections can open at the same time."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.fake_tls_cdc.client_hello_dict = dict(self.fake_tls_cdc.client_hello_dict)


CONNECTIONS = {
    "classic": tcpmtproxy.ConnectionTcpMTProxyIntermediate,
    "dd": tcpmtproxy.ConnectionTcpMTProxyRandomizedIntermediate,
    "ee": FakeTLS,
}


def link(job):
    """Connection class and proxy tuple. TelethonFakeTLS puts the ``ee`` in front by itself."""
    secret = job["secret"].removeprefix("ee") if job["mode"] == "ee" else job["secret"]
    return CONNECTIONS[job["mode"]], (job["host"], job["port"], secret)


def connection(job, dc):
    kind, proxy = link(job)
    return kind(NOWHERE, 443, dc, loggers=Loggers(), proxy=proxy)


async def greet(job):
    """Make a key and ping under it, once for every datacenter; the sender puts the index into the nonce."""
    answered = []
    for dc in job["dcs"]:
        sender = MTProtoSender(None, loggers=Loggers(), retries=1, auto_reconnect=False)
        await sender.connect(connection(job, dc))
        pong = await sender.send(PingRequest(ping_id=dc))
        await sender.disconnect()
        if pong.ping_id == dc:
            answered.append(dc)
    return {"answered": answered}


async def transfer(job):
    kind, proxy = link(job)
    client = TelegramClient(StringSession(), 1, "hash", connection=kind, proxy=proxy, connection_retries=1)
    client.session.set_dc(2, NOWHERE, 443)
    await client.connect()
    uploaded = await client.upload_file(str(Path(job["folder"]) / "upload"), part_size_kb=PART_KB)
    place = InputDocumentFileLocation(id=job["file_id"], access_hash=1, file_reference=b"", thumb_size="")
    received = await client.download_file(place, bytes, part_size_kb=PART_KB, file_size=job["size"])
    await client.disconnect()
    return {"upload_id": uploaded.id, "size": len(received), "digest": hashlib.sha256(received).hexdigest()}


async def ping(job):
    """The shortest exchange there is, without a key: req_pq_multi, resPQ."""
    gate = asyncio.Semaphore(job["at_once"])
    outcomes = collections.Counter()

    async def once():
        async with gate:
            made = connection(job, 2)
            try:
                async with asyncio.timeout(job["patience"]):
                    await made.connect(timeout=job["patience"])
                    nonce = int.from_bytes(os.urandom(16), "big", signed=True)
                    answer = await MTProtoPlainSender(made, loggers=Loggers()).send(ReqPqMultiRequest(nonce))
                outcomes["answered" if isinstance(answer, ResPQ) and answer.nonce == nonce else "nonsense"] += 1
            except Exception as failed:  # noqa: BLE001 - whatever a library raises is an outcome
                outcomes[type(failed).__name__] += 1
            finally:
                await made.disconnect()

    await asyncio.gather(*(once() for _ in range(job["count"])))
    return outcomes


def main():
    logging.disable(logging.CRITICAL)
    job = json.loads(sys.argv[1])
    tcpmtproxy.AESModeCTR = FastCTR
    rsa._server_keys.clear()
    rsa.add_key(job["key"]["pem"], old=False)
    doing = {"greet": greet, "transfer": transfer, "ping": ping}[job["do"]]
    sys.stdout.write(json.dumps(asyncio.run(doing(job))))


main()
