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
    "host", ["evil.example", "127.0.0.1.evil.example", "8.8.8.8", "", "[::", "evil@localhost.x"]
)
def test_another_host_name_is_refused(client, host):
    assert client.get("/api/run", headers={"host": host}).status_code == 421


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
