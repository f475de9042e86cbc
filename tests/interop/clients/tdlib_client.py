"""TDLib (``tdjson``) behind an MTProxy. Run as ``python tdlib_client.py JOB``; see ``../conftest.py``.

TDLib trusts two RSA keys whose PEM text is part of the library. Before it reads them, the text in this process's memory
is replaced by that of our key: same length, so nothing else moves.
"""

import collections
import hashlib
import json
import re
import sys
import time
from pathlib import Path

import tdjson

PEM = re.compile(rb"-----BEGIN RSA PUBLIC KEY-----.*?-----END RSA PUBLIC KEY-----", re.DOTALL)


def replace_keys(pem):
    """Write ``pem`` over every built-in key of its length, in the mapped library; how many there were.

    ``/proc/self/mem`` may write to pages that are mapped read-only: the kernel gives the process its own copy.
    """
    replaced = 0
    maps = [line.split(maxsplit=5) for line in Path("/proc/self/maps").read_text().splitlines()]
    with Path("/proc/self/mem").open("r+b", buffering=0) as memory:
        for span, rights, *_ in (fields for fields in maps if len(fields) == 6 and "libtdjson" in fields[5]):
            if not rights.startswith("r"):
                continue
            start, end = (int(number, 16) for number in span.split("-"))
            memory.seek(start)
            for found in PEM.finditer(memory.read(end - start)):
                if len(found.group()) == len(pem):
                    memory.seek(start + found.start())
                    memory.write(pem)
                    replaced += 1
    return replaced


class Client:
    """One TDLib instance: requests with their answers, and the updates in between."""

    def __init__(self, folder, patience):
        self.id = tdjson.td_create_client_id()
        self.patience = patience
        self.asked = 0
        self.answers = {}
        self.updates = []
        self.call(
            {
                "@type": "setTdlibParameters",
                "database_directory": str(Path(folder) / "tdlib"),
                "api_id": 1,
                "api_hash": "hash",
                "system_language_code": "en",
                "device_model": "interop",
                "application_version": "1",
            }
        )

    def ask(self, request):
        """Send a request; its number."""
        self.asked += 1
        tdjson.td_send(self.id, json.dumps(request | {"@extra": self.asked}).encode())
        return self.asked

    def receive(self):
        """Take in the next answer or update, if one comes within a second."""
        event = json.loads(tdjson.td_receive(1.0) or "null")
        if event is None:
            return
        if "@extra" in event:
            self.answers[event["@extra"]] = event
        else:
            self.updates.append(event)

    def wait(self, ready):
        """Receive until ``ready()`` returns something true, and return it."""
        deadline = time.monotonic() + self.patience
        while not (found := ready()):
            if time.monotonic() > deadline:
                raise TimeoutError
            self.receive()
        return found

    def call(self, request):
        number = self.ask(request)
        answer = self.wait(lambda: self.answers.pop(number, None))
        if answer["@type"] == "error":
            raise RuntimeError(answer["message"])
        return answer

    def state(self, name):
        """True once the authorization state has been this one."""
        return any(update.get("authorization_state", {}).get("@type") == name for update in self.updates)

    def close(self):
        self.ask({"@type": "close"})
        self.wait(lambda: self.state("authorizationStateClosed"))


def proxy_of(job):
    secret = {"@type": "proxyTypeMtproto", "secret": job["secret"]}
    return {"@type": "proxy", "server": job["host"], "port": job["port"], "type": secret}


def greet(client, job):
    """``testProxy`` makes a key with the datacenter it names."""
    answered = []
    for dc in job["dcs"]:
        client.call({"@type": "testProxy", "proxy": proxy_of(job), "dc_id": dc, "timeout": job["patience"]})
        answered.append(dc)
    return {"answered": answered}


def transfer(client, job):
    """Sign in as a bot, upload, download: what an application does with files."""
    client.call({"@type": "addProxy", "proxy": proxy_of(job), "enable": True})
    client.call({"@type": "checkAuthenticationBotToken", "token": job["bot_token"]})
    client.wait(lambda: client.state("authorizationStateReady"))
    document = {"@type": "fileTypeDocument"}
    local = {"@type": "inputFileLocal", "path": str(Path(job["folder"]) / "upload")}
    sent = client.call({"@type": "preliminaryUploadFile", "file": local, "file_type": document, "priority": 32})

    def uploaded():
        files = [update["file"] for update in client.updates if update["@type"] == "updateFile"]
        return any(file["id"] == sent["id"] and file["remote"]["uploaded_size"] == job["size"] for file in files)

    client.wait(uploaded)
    known = client.call({"@type": "getRemoteFile", "remote_file_id": job["remote_file_id"], "file_type": document})
    wanted = {"@type": "downloadFile", "file_id": known["id"], "priority": 32, "offset": 0, "limit": 0}
    received = client.call(wanted | {"synchronous": True})
    content = Path(received["local"]["path"]).read_bytes()
    return {"upload_id": None, "size": len(content), "digest": hashlib.sha256(content).hexdigest()}


def ping(client, job):
    """``pingProxy`` asks for resPQ on a connection of its own."""
    outcomes = collections.Counter()
    request = {"@type": "pingProxy", "proxy": proxy_of(job)}
    waiting = set()
    left = job["count"]
    while left or waiting:
        while left and len(waiting) < job["at_once"]:
            waiting.add(client.ask(request))
            left -= 1
        client.wait(lambda: waiting & client.answers.keys())
        for number in waiting & client.answers.keys():
            waiting.remove(number)
            answer = client.answers.pop(number)
            outcomes["answered" if answer["@type"] == "seconds" else answer["message"]] += 1
    return outcomes


def main():
    job = json.loads(sys.argv[1])
    if replace_keys(job["key"]["pem"].encode()) == 0:
        sys.exit("TDLib's built-in keys were not found in its memory")
    tdjson.td_execute(json.dumps({"@type": "setLogVerbosityLevel", "new_verbosity_level": 0}).encode())
    client = Client(job["folder"], job["patience"])
    result = {"greet": greet, "transfer": transfer, "ping": ping}[job["do"]](client, job)
    client.close()
    sys.stdout.write(json.dumps(result))


main()
