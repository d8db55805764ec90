"""Another system as tests need it: let in by the house, and running as a real process."""

import json
import os
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from django.db import connection
from django.test import Client as Browser

from apps.stores.models import Store
from apps.systems import services
from apps.systems.models import Client, Scope
from tests.conftest import ROOT, House

EVERYTHING = tuple(Scope)


def let_in(
    house: House, scopes: Sequence[Scope] = EVERYTHING, *, stores: Sequence[Store] = ()
) -> Client:
    """A system of the house, for its store when no others are named."""
    return services.add_client(
        name="CRM", stores=stores or [house.store], scopes=scopes, party=None, actor="test"
    )


def listening(house: House, url: str = "https://crm.example/hook") -> Client:
    """A system that waits for arrivals at an address."""
    client = let_in(house)
    services.set_webhook(client=client, url=url, arrivals=True, actor="test")
    return client


class Caller:
    """Calls the API with a token of a client."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.token = services.new_token(client=client, actor="test")
        self.browser = Browser(raise_request_exception=False)

    def get(self, path: str, **query: str | int) -> Any:
        return self.browser.get(f"/api/v1/{path}", query, headers=self.headers)

    def post(self, path: str, body: object = None) -> Any:
        return self.browser.post(
            f"/api/v1/{path}",
            json.dumps(body),
            content_type="application/json",
            headers=self.headers,
        )

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


class Crm:
    """The example of ops/docs as a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "crm.sqlite3"
        with socket.socket() as door:
            door.bind(("127.0.0.1", 0))
            self.port = door.getsockname()[1]
        self.secret = ""
        self.process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def subscribe(self, client: Client, *, arrivals: bool = True) -> None:
        self.secret = services.set_webhook(
            client=client, url=self.url, arrivals=arrivals, actor="test"
        )

    def start(self, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "ops/docs/crm.py", str(self.port), str(self.file)],
            cwd=ROOT,
            env={**os.environ, "CRM_SECRET": self.secret, **environment},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline().startswith("ready")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        if not self.file.exists():
            return []
        with sqlite3.connect(self.file, timeout=10) as known:
            return known.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608


class Listener:
    """A receiver that answers as it is told, and remembers what it was sent."""

    def __init__(self, *statuses: int) -> None:
        self.answers = list(statuses)
        self.heard: list[tuple[dict[str, str], bytes]] = []
        self.came, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()
        self.drips = False
        # The messages to which it never answers, by their id.
        self.hangs_on: set[str] = set()
        # What happens while it does not.
        self.meanwhile: Callable[[], object] = lambda: None
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                listener.heard.append(({k.lower(): v for k, v in self.headers.items()}, body))
                listener.came.set()
                listener.go_on.wait(60)
                if self.headers["webhook-id"] in listener.hangs_on:
                    listener.meanwhile()
                    connection.close()
                    listener.over.wait(60)
                    return
                status = listener.answers.pop(0) if listener.answers else 204
                try:
                    if listener.drips:
                        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                        while not listener.over.wait(0.05):
                            self.wfile.write(b"x: y\r\n")
                        return
                    self.send_response(status)
                    if status == 302:
                        self.send_header("Location", listener.url + "elsewhere")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                except OSError:
                    self.close_connection = True

            def log_message(self, *_arguments: object) -> None:
                pass

        self.over = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.over.set()
        self.go_on.set()
        self.server.shutdown()
        self.server.server_close()
