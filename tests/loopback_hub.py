"""A Hugging Face Hub on this machine: the endpoints that the unmodified client uses, over HTTP, with faults on demand.

`with LoopbackHub() as hub:` serves `hub.url`; `hub.break_(...)` injects a fault; `hub.requests` is what was asked.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

LFS = (".safetensors", ".bin", ".png")


@dataclass
class Commit:
    files: dict[str, bytes]
    title: str
    parent: str | None = None

    @property
    def oid(self) -> str:
        digest = hashlib.sha1(f"{self.parent}{self.title}".encode())
        for name, content in sorted(self.files.items()):
            digest.update(name.encode() + hashlib.sha1(content).digest())
        return digest.hexdigest()


@dataclass
class Repo:
    private: bool = False
    gated: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], title: str) -> str:
        new = Commit(files, title, self.branches.get("main"))
        self.commits[new.oid] = new
        self.branches["main"] = new.oid
        return new.oid

    def resolve(self, revision: str) -> str | None:
        found = self.branches.get(revision) or self.tags.get(revision)
        return found or (revision if revision in self.commits else None)


@dataclass
class Fault:
    """What goes wrong: a status, a body cut after so many bytes, a slow one, or other bytes of the same size."""

    method: str
    path: re.Pattern[str]
    times: int
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    short: bool = False
    slow: float = 0.0
    wrong: bool = False


class Answer(Exception):  # noqa: N818
    """An answer that ends the request."""

    def __init__(self, status: int, content: Any = None, headers: dict[str, str] | None = None) -> None:
        super().__init__(status)
        self.status, self.content, self.headers = status, content, headers or {}


def refusal(status: int, message: str, code: str = "") -> Answer:
    headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
    return Answer(status, {"error": message}, headers)


class LoopbackHub:
    """The server and what it holds.

    Args:
        xet: A folder: uploads and downloads go through the client's Xet code with that folder as the store.
    """

    def __init__(self, xet: Path | None = None) -> None:
        self.repos: dict[str, Repo] = {}
        self.tokens = {"hf_writer": "ana", "hf_reader": "ben"}
        self.writers = {"hf_writer"}
        self.blobs: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.xet = xet
        self.lock = threading.RLock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"hub": self}))
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.cdn = f"http://localhost:{self.port}"  # another origin, as the real one's

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.shutdown()
        self.server.server_close()

    def break_(self, method: str, path: str, times: int = 1, **how: Any) -> None:
        self.faults.append(Fault(method, re.compile(path), times, **how))

    def fault(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times and fault.method == method and fault.path.search(path):
                    fault.times -= 1
                    return fault
        return None

    def asked(self, method: str, path: str) -> int:
        return sum(m == method and re.search(path, p) is not None for m, p, _ in self.requests)


class Handler(BaseHTTPRequestHandler):
    hub: LoopbackHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._serve("GET")

    def do_HEAD(self) -> None:
        self._serve("HEAD")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_PUT(self) -> None:
        self._serve("PUT")

    def do_DELETE(self) -> None:
        self._serve("DELETE")

    def _serve(self, method: str) -> None:
        url = urlsplit(self.path)
        path, self.query = unquote(url.path), parse_qs(url.query)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.requests.append((method, path, {key.lower(): value for key, value in self.headers.items()}))
        self.fault = self.hub.fault(method, path)
        try:
            if self.fault is not None and self.fault.status is not None:
                raise Answer(self.fault.status, {"error": "injected"}, self.fault.headers)
            for verb, pattern, handle in ROUTES:
                if verb == method.replace("HEAD", "GET") and (found := re.fullmatch(pattern, path)):
                    with self.hub.lock:
                        handle(self, **found.groupdict())
            raise refusal(404, f"no such endpoint: {method} {path}")
        except Answer as answer:
            self._send(method, answer)

    def _send(self, method: str, answer: Answer) -> None:
        content = answer.content
        body = content if isinstance(content, bytes) else b"" if content is None else json.dumps(content).encode()
        status, headers = answer.status, dict(answer.headers)
        if status == 200 and (asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))):
            start, end = int(asked[1]), int(asked[2] or len(body) - 1)
            headers["Content-Range"] = f"bytes {start}-{min(end, len(body) - 1)}/{len(body)}"
            status, body = 206, body[start : end + 1]
        fault = self.fault
        if fault is not None and fault.wrong and body:
            body = bytes([body[0] ^ 255]) + body[1:]
        if fault is not None and fault.short:
            body = body[: len(body) // 2]
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("X-Request-Id", "loopback")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if method == "HEAD":
            return
        try:
            if fault is not None and fault.cut is not None and len(body) > fault.cut:
                self.wfile.write(body[: fault.cut])
                self.wfile.flush()
                self.close_connection = True
                self.connection.close()
                return
            if fault is not None and fault.slow:
                for i in range(0, len(body), 1 << 16):
                    self.wfile.write(body[i : i + (1 << 16)])
                    time.sleep(fault.slow)
                return
            self.wfile.write(body)
        except OSError:  # the client went away
            self.close_connection = True

    # Who may.

    def _user(self) -> str | None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        if not token:
            return None
        if token not in self.hub.tokens:
            raise refusal(401, "Invalid credentials in Authorization header")
        return self.hub.tokens[token]

    def _repo(self, repo: str, *, write: bool = False, content: bool = False) -> Repo:
        user = self._user()
        found = self.hub.repos.get(repo)
        if found is None or (found.private and user != repo.split("/")[0]):
            raise refusal(401 if user is None else 404, "Repository not found", "RepoNotFound")
        if write and (
            user != repo.split("/")[0]
            or self.headers["Authorization"].removeprefix("Bearer ").strip() not in self.hub.writers
        ):
            raise refusal(403, "You have no right to write")
        if content and found.gated and user != repo.split("/")[0]:
            raise refusal(403, f"Access to model {repo} is restricted", "GatedRepo")
        return found

    def _at(self, found: Repo, revision: str) -> str:
        oid = found.resolve(revision)
        if oid is None:
            raise refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return oid

    # Repositories.

    def whoami(self) -> None:
        user = self._user()
        if user is None:
            raise refusal(401, "Invalid credentials in Authorization header")
        access = {"type": "access_token", "accessToken": {"displayName": "t", "role": "write"}}
        raise Answer(200, {"type": "user", "name": user, "fullname": user, "orgs": [], "auth": access})

    def create(self) -> None:
        asked = json.loads(self.body)
        user = self._user()
        repo = f"{asked.get('organization') or user}/{asked['name']}"
        if repo in self.hub.repos:
            raise Answer(409, {"error": "exists", "url": f"{self.hub.url}/{repo}", "name": repo})
        token = self.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        if user != repo.split("/")[0] or token not in self.hub.writers:
            raise refusal(403, "You have no right to create this repository")
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        self.hub.repos[repo] = Repo(private)
        self.hub.repos[repo].commit({".gitattributes": b"*.safetensors filter=lfs\n"}, "initial commit")
        raise Answer(200, {"url": f"{self.hub.url}/{repo}", "name": repo})

    def info(self, repo: str, revision: str = "main") -> None:
        found = self._repo(repo)
        oid = self._at(found, revision)
        files = found.commits[oid].files
        siblings = [{"rfilename": name} for name in sorted(files)]
        raise Answer(
            200,
            {
                "id": repo,
                "modelId": repo,
                "author": repo.split("/")[0],
                "sha": oid,
                "private": found.private,
                "gated": "manual" if found.gated else False,
                "disabled": False,
                "downloads": 0,
                "likes": 0,
                "tags": [],
                "createdAt": "2026-11-21T23:00:00.000Z",
                "lastModified": "2026-11-21T23:00:00.000Z",
                "siblings": siblings,
            },
        )

    def models(self) -> None:
        author = self.query.get("author", [""])[0]
        raise Answer(
            200, [{"id": repo, "modelId": repo, "tags": []} for repo in self.hub.repos if repo.startswith(author)]
        )

    def refs(self, repo: str) -> None:
        found = self._repo(repo)
        kinds = {"branches": ("heads", found.branches), "tags": ("tags", found.tags)}
        content = {
            kind: [{"name": n, "ref": f"refs/{folder}/{n}", "targetCommit": oid} for n, oid in names.items()]
            for kind, (folder, names) in kinds.items()
        }
        raise Answer(200, {**content, "converts": []})

    def tag(self, repo: str, revision: str) -> None:
        found = self._repo(repo, write=True)
        name, oid = json.loads(self.body)["tag"], self._at(found, revision)
        if name in found.tags:
            raise refusal(409, "Tag reference exists already")
        found.tags[name] = oid
        raise Answer(200, {})

    def paths_info(self, repo: str, revision: str) -> None:
        found = self._repo(repo)
        files = found.commits[self._at(found, revision)].files
        wanted = parse_qs(self.body.decode())["paths"]
        raise Answer(200, [describe(name, files[name]) for name in wanted if name in files])

    def tree(self, repo: str, revision: str) -> None:
        found = self._repo(repo)
        files = found.commits[self._at(found, revision)].files
        raise Answer(200, [describe(name, content) for name, content in sorted(files.items())])

    # Uploads.

    def validate(self) -> None:
        asked = json.loads(self.body)
        good = asked["content"].startswith("---\n")
        errors = [] if good else [{"message": "no header"}]
        raise Answer(200 if good else 400, {"errors": errors, "warnings": []})

    def preupload(self, repo: str, revision: str) -> None:
        found = self._repo(repo, write=True)
        files = found.commits[self._at(found, revision)].files
        answers = []
        for asked in json.loads(self.body)["files"]:
            name = asked["path"]
            mode = {"path": name, "uploadMode": "lfs" if name.endswith(LFS) else "regular", "shouldIgnore": False}
            if name in files:
                mode["oid"] = sha256(files[name]) if name.endswith(LFS) else git_hash(files[name])
            answers.append(mode)
        raise Answer(200, {"files": answers})

    def batch(self, repo: str) -> None:
        self._repo(repo, write=True)
        objects = []
        for asked in json.loads(self.body)["objects"]:
            one = {"oid": asked["oid"], "size": asked["size"]}
            if asked["oid"] not in self.hub.blobs:
                put = {"href": f"{self.hub.url}/_put/{asked['oid']}", "header": {}}
                one["actions"] = {"upload": put, "verify": {"href": f"{self.hub.url}/_verify/{repo}", "header": {}}}
            objects.append(one)
        raise Answer(200, {"transfer": "basic", "objects": objects})

    def put(self, oid: str) -> None:
        if sha256(self.body) != oid:
            raise refusal(400, "the content has another sha256")
        self.hub.blobs[oid] = self.body
        raise Answer(200)

    def verify(self, repo: str) -> None:
        raise Answer(200 if json.loads(self.body)["oid"] in self.hub.blobs else 404, {})

    def commit(self, repo: str, revision: str) -> None:
        found = self._repo(repo, write=True)
        lines = [json.loads(line) for line in self.body.splitlines()]
        header = lines[0]["value"]
        head = self._at(found, revision)
        if header.get("parentCommit") not in (None, head):
            raise refusal(412, "The branch has moved")
        files = dict(found.commits[head].files)
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self._blob(value["oid"], value.get("size"))
            else:
                files.pop(value["path"])
        oid = found.commit(files, header["summary"])
        url = f"{self.hub.url}/{repo}/commit/{oid}"
        raise Answer(200, {"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""})

    def _blob(self, oid: str, size: int | None) -> bytes:
        if oid in self.hub.blobs:
            return self.hub.blobs[oid]
        if self.hub.xet is None or oid not in (stored := xet_hashes(self.hub.xet)):
            raise refusal(400, "unknown LFS object")
        self.hub.blobs[oid] = f"xet {stored[oid]} {oid} {size}".encode()  # the bytes are in the store, and only there
        return self.hub.blobs[oid]

    # Downloads.

    def resolve(self, repo: str, revision: str, name: str) -> None:
        found = self._repo(repo, content=True)
        oid = self._at(found, revision)
        headers = {"X-Repo-Commit": oid, "Accept-Ranges": "bytes"}
        content = found.commits[oid].files.get(name)
        if content is None:
            message = "Entry not found"
            raise Answer(
                404, {"error": message}, {**headers, "X-Error-Code": "EntryNotFound", "X-Error-Message": message}
            )
        if not name.endswith(LFS):
            raise Answer(200, content, {**headers, "ETag": f'"{git_hash(content)}"'})
        digest, size = sha256(content), str(len(content))
        if content.startswith(b"xet "):
            _, stored, digest, size = content.decode().split()
            headers["X-Xet-Hash"] = stored
            headers["Link"] = f'<{self.hub.url}/api/models/{repo}/xet-read-token/{oid}>; rel="xet-auth"'
        headers |= {"X-Linked-Size": size, "X-Linked-ETag": f'"{digest}"', "ETag": f'"{digest}"'}
        self.hub.blobs.setdefault(digest, content)
        raise Answer(302, b"", {**headers, "Location": f"{self.hub.cdn}/_lfs/{digest}"})

    def lfs(self, oid: str) -> None:
        if "Authorization" in self.headers:
            raise refusal(400, "a token went to another origin")
        raise Answer(200, self.hub.blobs[oid], {"Accept-Ranges": "bytes", "ETag": f'"{oid}"'})

    def xet_token(self, repo: str, kind: str, revision: str) -> None:
        self._repo(repo, write=kind == "write")
        if self.hub.xet is None:
            raise refusal(404, "no xet here")
        url, until = f"local://{self.hub.xet}", int(time.time()) + 3600
        headers = {"X-Xet-Access-Token": "x", "X-Xet-Token-Expiration": str(until), "X-Xet-Cas-Url": url}
        raise Answer(200, {"accessToken": "x", "exp": until, "casUrl": url}, headers)


REPO, REVISION = r"(?P<repo>[\w.-]+/[\w.-]+)", r"(?P<revision>[^/]+)"
ROUTES: list[tuple[str, str, Any]] = [
    ("GET", r"/api/whoami-v2", Handler.whoami),
    ("GET", r"/api/models", Handler.models),
    ("POST", r"/api/repos/create", Handler.create),
    ("POST", r"/api/validate-yaml", Handler.validate),
    ("GET", rf"/api/models/{REPO}", Handler.info),
    ("GET", rf"/api/models/{REPO}/revision/{REVISION}", Handler.info),
    ("GET", rf"/api/models/{REPO}/refs", Handler.refs),
    ("GET", rf"/api/models/{REPO}/tree/{REVISION}", Handler.tree),
    ("POST", rf"/api/models/{REPO}/tag/{REVISION}", Handler.tag),
    ("POST", rf"/api/models/{REPO}/paths-info/{REVISION}", Handler.paths_info),
    ("POST", rf"/api/models/{REPO}/preupload/{REVISION}", Handler.preupload),
    ("POST", rf"/api/models/{REPO}/commit/{REVISION}", Handler.commit),
    ("GET", rf"/api/models/{REPO}/xet-(?P<kind>read|write)-token/{REVISION}", Handler.xet_token),
    ("POST", rf"/{REPO}\.git/info/lfs/objects/batch", Handler.batch),
    ("PUT", r"/_put/(?P<oid>\w+)", Handler.put),
    ("POST", rf"/_verify/{REPO}", Handler.verify),
    ("GET", rf"/{REPO}/resolve/{REVISION}/(?P<name>.+)", Handler.resolve),
    ("GET", r"/_lfs/(?P<oid>\w+)", Handler.lfs),
]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def describe(name: str, content: bytes) -> dict[str, Any]:
    """Return a file as `tree` and `paths-info` list it."""
    one: dict[str, Any] = {"type": "file", "path": name, "oid": git_hash(content), "size": len(content)}
    if name.endswith(LFS):
        digest = content.decode().split()[2] if content.startswith(b"xet ") else sha256(content)
        one["lfs"] = {"sha256": digest, "oid": digest, "size": len(content), "pointerSize": 134}
    return one


def xet_hashes(store: Path) -> dict[str, str]:
    """Return sha256 to Xet hash of all files that the client put into a local store, read off its shards."""
    found = {}
    for shard in store.rglob("*.mdb"):
        data, at = shard.read_bytes(), 48
        while at + 48 <= len(data) and data[at : at + 32] != b"\xff" * 32:
            flags, entries = struct.unpack_from("<II", data, at + 32)
            name = "".join(f"{word:016x}" for word in struct.unpack_from("<4Q", data, at))
            at += 48 + 48 * entries * (2 if flags & 0x80000000 else 1)
            if flags & 0x40000000:
                digest = "".join(f"{word:016x}" for word in struct.unpack_from("<4Q", data, at))
                found[digest] = name
                at += 48
    return found
