"""Who is let in, and what a request can reach."""

import socket

import numpy as np
import pytest
from starlette.testclient import TestClient

from euclidfm.cli import main
from euclidfm.core.errors import InputError
from euclidfm.explore.app import create_app
from euclidfm.explore.guard import check_address

BASE = "http://127.0.0.1:8765"
TOKEN = "0123456789abcdef"


@pytest.fixture
def client(run):
    return TestClient(create_app(run), base_url=BASE, follow_redirects=False)


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "127.0.0.1.evil.example", "8.8.8.8", "", "[::", "evil@localhost.x"),
        *("localhost:8765.evil.example", "localhost:evil", "localhost:", "[::1]evil", "localhost/evil"),
        *("localhost@evil.example", "[::1]:8765.evil.example", "localhost:123456", "localhost 1"),
    ],
)
def test_another_host_name_is_refused(client, host):
    assert client.get("/api/run", headers={"host": host}).status_code == 421


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /api/run HTTP/1.1\r\nHost: 127.0.0.1",
        b"GET /api/run HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /api/run HT",
        b"POST /api/export/csv HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\n"
        b"Content-Length: 4000\r\n\r\n1234",
    ],
    ids=["nothing", "half of the headers", "half of a second request", "half of the body"],
)
def test_a_connection_that_sends_slowly_is_closed(address, sent, monkeypatch):
    monkeypatch.setattr("euclidfm.explore.connections.HEADER_SECONDS", 0.5)
    monkeypatch.setattr("euclidfm.explore.guard.BODY_SECONDS", 0.5)
    port = int(address.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=15) as connection:
        connection.sendall(sent)
        got = b""
        while part := connection.recv(65536):  # ends when the server closes
            got += part
    if b"POST" in sent:
        assert got.startswith(b"HTTP/1.1 408")
    assert b"200 OK" not in got or sent.count(b"GET") == 2


def test_a_body_in_chunks_can_not_pass_the_limit(address, monkeypatch):
    monkeypatch.setattr("euclidfm.explore.guard.LARGEST_BODY", 1000)
    port = int(address.rpartition(":")[2])
    head = b"POST /api/export/csv HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\n"
    head += b"Content-Length: 8\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=15) as connection:
        connection.sendall(head + b"7d0\r\n" + bytes(2000) + b"\r\n0\r\n\r\n")
        assert connection.recv(100).split()[1] in (b"400", b"413")


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:1", "[::1]:8765", "LOCALHOST"])
def test_names_of_this_machine_are_answered(client, host):
    assert client.get("/api/run", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("origin", [None, "null", "https://evil.example", "http://127.0.0.1:9999", "file://"])
def test_a_post_from_elsewhere_changes_nothing(client, run, origin):
    headers = {} if origin is None else {"origin": origin}
    assert client.post(f"/api/galaxy/{run.ids[0]}/rating/boring", headers=headers).status_code == 403
    assert not run.ratings_file.exists()
    assert (
        client.post("/api/samp/all", content=np.zeros(1, "<u4").tobytes(), headers=headers).status_code == 403
    )


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/%2e%2e/cli.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/api/plane/..%2f..%2fstore%2fstore.json",
        "/api/column/..%2fstore.json",
        "/api/galaxy/-570040238507752998/picture/..%2f..%2fstore.png",
        "/store/store.json",
        "/docs",
        "/openapi.json",
    ],
)
def test_no_path_reaches_a_file(client, path):
    assert client.get(path).status_code == 404


def test_headers_of_safety(client):
    for path in ("/", "/static/main.js", "/api/run", "/nothing"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
    assert client.options("/api/run").status_code == 405
    assert client.delete("/api/run").status_code == 405


def test_nothing_comes_from_another_site(client):
    for name in (
        "index.html",
        "page.css",
        "main.js",
        "map.js",
        "galaxy.js",
        "plots.js",
        "api.js",
        "colours.js",
    ):
        answer = client.get(f"/static/{name}")
        assert answer.status_code == 200
        assert "://" not in answer.text.replace("http://www.w3.org/2000/svg", "")


def test_a_token_is_asked_for(run):
    client = TestClient(
        create_app(run, "0.0.0.0", TOKEN), base_url="http://192.0.2.7:8765", follow_redirects=False
    )
    for path in (
        "/",
        "/api/run",
        "/static/main.js",
        f"/api/run?token={TOKEN}",
        "/?token=wrong",
        "/?token=%C3%A9",
    ):
        assert client.get(path).status_code == 401, path
    assert client.get("/api/run", headers={"authorization": "Bearer wrong"}).status_code == 401
    assert client.get("/api/run", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    answer = client.get(f"/?token={TOKEN}")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/"
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert "SameSite=Strict" in answer.headers["set-cookie"]
    assert client.get("/api/run").status_code == 200  # the cookie
    assert client.get("/api/run", headers={"host": "evil.example"}).status_code == 421


def test_other_addresses_need_a_token():
    check_address("127.0.0.1", None)
    check_address("::1", None)
    check_address("0.0.0.0", TOKEN)
    for host, token in (
        ("0.0.0.0", None),
        ("192.0.2.7", None),
        ("::", None),
        ("127.0.0.1", "short"),
        ("::", "a b;" * 9),
    ):
        with pytest.raises(InputError, match="--token"):
            check_address(host, token)


def test_the_verb_says_what_is_wrong(tmp_path, capsys):
    assert main(["explore", str(tmp_path), "--host", "0.0.0.0"]) == 2
    assert "give --token" in capsys.readouterr().err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["explore", str(tmp_path), "--port", port, "--browser", "false"]) == 2
    assert "--port" in capsys.readouterr().err
    assert main(["explore", str(tmp_path), "--port", "0", "--browser", "false"]) == 2
    assert "neither embeddings.parquet nor store/" in capsys.readouterr().err
