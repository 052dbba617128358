# SPDX-License-Identifier: Apache-2.0
"""As much of the Hugging Face hub as its client asks for when it uploads and downloads a folder: hub_server.py FOLDER.

Prints its port, then serves on the loopback interface until it is killed. Repositories lie in FOLDER/<user>/<name>, every request is a
line of FOLDER/requests.txt. Python's standard library only; written for huggingface_hub 2.4 without xet (HF_HUB_DISABLE_XET=1)."""

import base64
import hashlib
import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(sys.argv[1])
LARGE = (".safetensors", ".bin")  # what the hub keeps as LFS objects


def repository(name):
    return ROOT / name


def commit_of(name):
    """A hash over everything in the repository: as a commit's, 40 digits."""
    digest = hashlib.sha1()
    for path in files_of(name):
        digest.update(path.encode() + (repository(name) / path).read_bytes())
    return digest.hexdigest()


def files_of(name):
    folder = repository(name)
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


class Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            content = b""
            while size := int(self.rfile.readline().strip() or b"0", 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return content
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, status, content=b"", headers=None):
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
        self.send_response(status)
        for key, value in {"Content-Type": "application/json", "Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def handle_request(self):
        content = self.body()
        path = unquote(urlsplit(self.path).path)
        with open(ROOT / "requests.txt", "a") as log:
            log.write(f"{self.command} {path} {self.headers.get('Authorization', '-')}\n")
        for method, pattern, serve in ROUTES:
            found = re.fullmatch(pattern, path)
            if found and method == self.command:
                return serve(self, content, *found.groups())
        return self.answer(404, {"error": f"no such place: {self.command} {path}"})

    do_GET = do_HEAD = do_POST = do_PUT = handle_request

    def create(self, content):
        wanted = json.loads(content)
        name = f"{wanted['organization']}/{wanted['name']}"
        there = repository(name).exists()
        repository(name).mkdir(parents=True, exist_ok=True)
        (ROOT / "created.json").write_text(json.dumps(wanted))
        self.answer(409 if there else 200, {"url": f"{HOST}/{name}", "id": name})

    def validate(self, content):
        card = json.loads(content)["content"]
        (ROOT / "validated.md").write_text(card)
        self.answer(200, {"errors": [], "warnings": []})

    def preupload(self, content, name, revision):
        self.answer(200, {"files": [{"path": one["path"], "uploadMode": "lfs" if one["path"].endswith(LARGE) else "regular", "shouldIgnore": False}
                                    for one in json.loads(content)["files"]]})

    def batch(self, content, name):
        objects = [{**one, "actions": {"upload": {"href": f"{HOST}/objects/{one['oid']}"}}} for one in json.loads(content)["objects"]]
        self.answer(200, {"transfer": "basic", "objects": objects}, {"Content-Type": "application/vnd.git-lfs+json"})

    def put(self, content, oid):
        if hashlib.sha256(content).hexdigest() != oid:
            return self.answer(400, {"error": "the content is not what its name says"})
        (ROOT / oid).write_bytes(content)
        return self.answer(200)

    def commit(self, content, name, revision):
        for line in content.decode().splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header":
                (ROOT / "message.txt").write_text(value["summary"])
                continue
            target = repository(name) / value["path"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / value["oid"]).read_bytes() if entry["key"] == "lfsFile" else base64.b64decode(value["content"]))
        oid = commit_of(name)
        self.answer(200, {"success": True, "commitOid": oid, "commitUrl": f"{HOST}/{name}/commit/{oid}", "hookOutput": ""})

    def info(self, content, name, revision=None):
        if not repository(name).is_dir():
            return self.answer(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        if revision not in (None, "main", commit_of(name)):
            return self.answer(404, {"error": f"Invalid rev id: {revision}"}, {"X-Error-Code": "RevisionNotFound"})
        return self.answer(200, {"id": name, "modelId": name, "sha": commit_of(name), "private": False, "tags": [], "siblings": [{"rfilename": path} for path in files_of(name)]})

    def tree(self, content, name, revision):
        entries = []
        for path in files_of(name):
            data = (repository(name) / path).read_bytes()
            entry = {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
            if path.endswith(LARGE):
                entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
            entries.append(entry)
        self.answer(200, entries)

    def resolve(self, content, name, revision, path):
        target = repository(name) / path
        if not target.is_file():
            return self.answer(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
        data = target.read_bytes()
        large = path.endswith(LARGE)
        etag = hashlib.sha256(data).hexdigest() if large else hashlib.sha1(data).hexdigest()
        headers = {"Content-Type": "application/octet-stream", "ETag": f'"{etag}"', "X-Repo-Commit": commit_of(name)}
        if large:
            headers |= {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(data))}
        return self.answer(200, data, headers)


NAME = "([^/]+/[^/]+)"
ROUTES = [
    ("POST", "/api/repos/create", Hub.create),
    ("POST", "/api/validate-yaml", Hub.validate),
    ("POST", f"/api/models/{NAME}/preupload/([^/]+)", Hub.preupload),
    ("POST", f"/{NAME}.git/info/lfs/objects/batch", Hub.batch),
    ("PUT", "/objects/([0-9a-f]{64})", Hub.put),
    ("POST", f"/api/models/{NAME}/commit/([^/]+)", Hub.commit),
    ("GET", f"/api/models/{NAME}", Hub.info),
    ("GET", f"/api/models/{NAME}/revision/([^/]+)", Hub.info),
    ("GET", f"/api/models/{NAME}/tree/([^/]+)", Hub.tree),
    ("HEAD", f"/{NAME}/resolve/([^/]+)/(.+)", Hub.resolve),
    ("GET", f"/{NAME}/resolve/([^/]+)/(.+)", Hub.resolve),
]

server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
HOST = f"http://127.0.0.1:{server.server_address[1]}"
print(server.server_address[1], flush=True)
server.serve_forever()
