"""Kurigram (module ``pyrogram``) behind an MTProxy. Run as ``python kurigram_client.py JOB``; see
``../conftest.py``."""

import asyncio
import collections
import hashlib
import json
import logging
import os
import sys
from io import BytesIO
from pathlib import Path

import pyrogram
from pyrogram import raw
from pyrogram.connection import Connection
from pyrogram.connection.proxy import normalize_proxy
from pyrogram.crypto import rsa
from pyrogram.file_id import FileId, FileType
from pyrogram.session import Auth, Session

NOWHERE = "192.0.2.1"  # a datacenter's address; through a proxy it is never used


def proxy_of(job):
    return {"scheme": "mtproxy", "hostname": job["host"], "port": job["port"], "secret": job["secret"]}


def client_of(job):
    return pyrogram.Client("interop", api_id=1, api_hash="hash", in_memory=True, no_updates=True, proxy=proxy_of(job))


async def greet(job):
    """Make a key and ping under it, once for every datacenter. A media session uses its main datacenter's key."""
    client = client_of(job)
    await client.storage.open()
    await client.storage.api_id(1)
    answered = []
    for dc in job["dcs"]:
        key = await Auth(client, abs(dc), NOWHERE, 443, test_mode=False).create()
        session = Session(client, abs(dc), NOWHERE, 443, key, test_mode=False, is_media=dc < 0)
        await session.start()
        pong = await session.invoke(raw.functions.Ping(ping_id=dc))
        await session.stop()
        if pong.ping_id == dc:
            answered.append(dc)
    await client.storage.close()
    return {"answered": answered}


async def transfer(job):
    """Upload and download as an application does: Kurigram opens a media session (a negative index) for both."""
    client = client_of(job)
    await client.connect()
    uploaded = await client.save_file(Path(job["folder"]) / "upload")
    place = FileId(file_type=FileType.DOCUMENT, dc_id=2, media_id=job["file_id"], access_hash=1, file_reference=b"")
    digest, size = hashlib.sha256(), 0
    async for chunk in client.get_file(place):
        digest.update(chunk)
        size += len(chunk)
    await client.disconnect()
    return {"upload_id": uploaded.id, "size": size, "digest": digest.hexdigest()}


async def ping(job):
    """The shortest exchange there is, without a key: req_pq_multi, resPQ."""
    gate = asyncio.Semaphore(job["at_once"])
    outcomes = collections.Counter()

    async def once():
        async with gate:
            made = Connection(2, NOWHERE, 443, test_mode=False, proxy=normalize_proxy(proxy_of(job)))
            try:
                async with asyncio.timeout(job["patience"]):
                    await made.connect()
                    nonce = int.from_bytes(os.urandom(16), "little", signed=True)
                    await made.send(Auth.pack(raw.functions.ReqPqMulti(nonce=nonce), server_time=1.0))
                    payload = await made.recv()
                answer = Auth.unpack(BytesIO(payload)) if payload else None
                outcomes["answered" if answer is not None and answer.nonce == nonce else "closed"] += 1
            except Exception as failed:  # noqa: BLE001 - whatever a library raises is an outcome
                outcomes[type(failed).__name__] += 1
            finally:
                if made.protocol is not None:
                    await made.close()

    await asyncio.gather(*(once() for _ in range(job["count"])))
    return outcomes


def main():
    logging.disable(logging.CRITICAL)
    job = json.loads(sys.argv[1])
    key = job["key"]
    rsa.server_public_keys.clear()
    rsa.server_public_keys[key["fingerprint"]] = rsa.PublicKey(int(key["modulus"], 16), key["exponent"])
    doing = {"greet": greet, "transfer": transfer, "ping": ping}[job["do"]]
    sys.stdout.write(json.dumps(asyncio.run(doing(job))))


main()
