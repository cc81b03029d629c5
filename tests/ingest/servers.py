"""Servers on loopback that speak as the real ones do: object storage (S3), plain HTTP, Hugging Face's hub."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlparse
from xml.sax.saxutils import escape

BUCKET = "nasa-irsa-euclid-q1"


class _Handler(BaseHTTPRequestHandler):
    """Files of ``server.root`` with ranges; subclasses say how folders are listed."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        self.server.log.append(self.command + " " + self.path)

    def send(self, code: int, body: bytes, kind: str = "application/xml", **headers: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", headers.pop("length", str(len(body))))
        for k, v in headers.items():
            self.send_header(k.replace("_", "-"), v)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_file(self, path: Path) -> None:
        data = path.read_bytes()
        tag = f'"{hashlib.md5(data).hexdigest()}"'
        common = {"Accept_Ranges": "bytes", "ETag": tag, "Last_Modified": "Wed, 19 Mar 2025 00:00:00 GMT"}
        if self.command == "HEAD":
            self.send(200, b"", "application/fits", length=str(len(data)), **common)
            return
        wanted = self.headers.get("Range")
        first, last = 0, len(data) - 1
        if wanted:
            a, _, b = wanted.removeprefix("bytes=").partition("-")
            first, last = int(a), min(int(b) if b else last, last)
            common["Content_Range"] = f"bytes {first}-{last}/{len(data)}"
        if path.name in self.server.cut:  # the connection dies in the middle
            half = data[first : first + (last - first + 1) // 2]
            self.send_response(206 if wanted else 200)
            self.send_header("Content-Length", str(last - first + 1))
            self.end_headers()
            self.wfile.write(half)
            self.wfile.flush()
            self.close_connection = True
            return
        self.send(206 if wanted else 200, data[first : last + 1], "application/fits", **common)


class _S3(_Handler):
    """ListObjectsV2, HeadObject and GetObject of one bucket, without signatures."""

    def do_GET(self) -> None:
        url = urlparse(self.path)
        bucket, _, key = unquote(url.path).lstrip("/").partition("/")
        if bucket != self.server.bucket:
            self.error("NoSuchBucket")
            return
        if "Authorization" in self.headers:  # the public copy is read without an account
            self.error("AccessDenied", 403)
            return
        if key:
            path = self.server.root / key
            self.send_file(path) if path.is_file() else self.error("NoSuchKey")
            return
        q = {k: v[0] for k, v in parse_qs(url.query).items()}
        self.send(200, self.listing(q.get("prefix", ""), q.get("delimiter", "")).encode())

    do_HEAD = do_GET  # noqa: N815  (the name that http.server calls)

    def error(self, code: str, status: int = 404) -> None:
        self.send(status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode())

    def listing(self, prefix: str, delimiter: str) -> str:
        keys, folders = [], set()
        for path in sorted(p for p in self.server.root.rglob("*") if p.is_file()):
            key = path.relative_to(self.server.root).as_posix()
            if not key.startswith(prefix):
                continue
            rest = key[len(prefix) :]
            if delimiter and delimiter in rest:
                folders.add(prefix + rest.split(delimiter)[0] + delimiter)
            else:
                keys.append((key, path.stat().st_size))
        contents = "".join(
            f"<Contents><Key>{escape(k)}</Key><Size>{n}</Size><ETag>x</ETag>"
            "<LastModified>2025-03-19T00:00:00.000Z</LastModified><StorageClass>STANDARD</StorageClass></Contents>"
            for k, n in keys
        )
        common = "".join(
            f"<CommonPrefixes><Prefix>{escape(p)}</Prefix></CommonPrefixes>" for p in sorted(folders)
        )
        return (
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{self.server.bucket}</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(keys)}</KeyCount>"
            f"<MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>{contents}{common}</ListBucketResult>"
        )


class _Web(_Handler):
    """A folder as Apache or nginx show it: a page of links."""

    def do_GET(self) -> None:
        path = self.server.root / unquote(urlparse(self.path).path).lstrip("/")
        if path.is_file():
            self.send_file(path)
        elif path.is_dir():
            names = [p.name + ("/" if p.is_dir() else "") for p in sorted(path.iterdir())]
            page = "<html><body>" + "".join(f'<a href="{n}">{n}</a>' for n in names) + "</body></html>"
            self.send(200, page.encode(), "text/html")
        else:
            self.send(404, b"not here", "text/plain")

    do_HEAD = do_GET  # noqa: N815  (the name that http.server calls)


class _Hub(_Handler):
    """Data sets as huggingface.co serves them: folders ``<owner>/<name>`` of ``server.root``."""

    def do_GET(self) -> None:
        url = unquote(urlparse(self.path).path)
        if m := re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", url):
            path = self.server.root / m[1] / m[3]
            self.send_file(path) if path.is_file() else self.missing("EntryNotFound")
        elif m := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)(?:/revision/[^/]+)?", url):
            if not (self.server.root / m[1]).is_dir():
                self.missing("RepoNotFound")
                return
            files = [{"rfilename": e["path"]} for e in self.entries(m[1], "", True) if e["type"] == "file"]
            info = {"id": m[1], "sha": self.sha, "private": False, "tags": [], "siblings": files}
            self.json(info | {"downloads": 0, "likes": 0})
        elif m := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/tree/[^/]+/?(.*)", url):
            deep = "recursive=true" in self.path.lower()
            listed = self.entries(m[1], m[2], deep)
            self.json(listed) if listed else self.missing("EntryNotFound")
        else:
            self.missing("EntryNotFound")

    do_HEAD = do_GET  # noqa: N815  (the name that http.server calls)
    sha = "0123456789abcdef0123456789abcdef01234567"

    def do_POST(self) -> None:
        """Which of some paths there are."""
        asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        m = re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/paths-info/[^/]+", unquote(self.path))
        self.json([e for e in self.entries(m[1], "", True) if e["path"] in asked.get("paths", [])])

    def entries(self, repo: str, under: str, deep: bool) -> list[dict[str, object]]:
        root = self.server.root / repo
        found = (root / under).rglob("*") if deep else (root / under).glob("*")
        return [
            {"type": "file" if p.is_file() else "directory", "path": p.relative_to(root).as_posix()}
            | {"oid": self.sha, "size": p.stat().st_size if p.is_file() else 0}
            for p in sorted(found)
        ]

    def json(self, what: object) -> None:
        self.send(200, json.dumps(what).encode(), "application/json")

    def send(self, code: int, body: bytes, kind: str = "application/xml", **headers: str) -> None:
        super().send(code, body, kind, **headers, X_Repo_Commit=self.sha)

    def missing(self, code: str) -> None:
        self.send(404, b"{}", "application/json", X_Error_Code=code)


@contextmanager
def serving(kind: str, root: Path, bucket: str = "") -> Iterator[ThreadingHTTPServer]:
    """A server of `root`, ``s3`` (one bucket), ``http`` or ``hub``; it has ``url``, ``log``, and ``cut``:
    files that break off.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), {"s3": _S3, "http": _Web, "hub": _Hub}[kind])
    server.root, server.bucket, server.log, server.cut = root, bucket, [], set()
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
