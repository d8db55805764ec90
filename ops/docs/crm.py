#!/usr/bin/env python3
"""An example of the other side: a small CRM that is told by Consentry's webhook.

    CRM_SECRET=whsec_… python3 crm.py 9000 crm.sqlite3

With CRM_API=https://…/api/v1 and CRM_TOKEN=cst_… it asks for a name that was corrected; without
them it only stops using the one that is wrong.

Python's standard library and nothing else. What a receiver must do, and where it is done here:

- believe nothing that is not signed, or was signed more than five minutes ago (`verified`);
- take each message once, also when it comes twice: `webhook-id` stays the same on every try, and is
  written down in the transaction of what it led to (`take`);
- answer 2xx only when that is on disk: to Consentry it means that the person is deleted here too;
- delete what it knows of a person when told `person.erased`, or `consent.withdrawn` with no
  purpose; and take nothing of them that comes late (`gone`);
- use nothing of whoever is `paused`;
- when told `person.rectified`, ask how the person is greeted now (`asked`), and acknowledge only
  once that is known;
- ignore types that it does not know, with a 2xx.

A person is known by an id that Consentry drew for this CRM alone.
"""

import base64
import hashlib
import hmac
import json
import os
import sqlite3
import sys
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOLERANCE = 300
LARGEST = 64 * 1024
# Consentry waits for ten seconds for the answer to its message.
PATIENCE = 5

TABLES = """
CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS visit (id TEXT PRIMARY KEY, person TEXT NOT NULL, store TEXT, at TEXT,
                                  name TEXT);
CREATE TABLE IF NOT EXISTS paused (person TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS gone (person TEXT PRIMARY KEY);
"""

RENAME = "UPDATE visit SET name = ? WHERE person = ?"


def verified(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """Whether Consentry signed exactly this, and a moment ago (Standard Webhooks)."""
    sent, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not sent or not at.isdigit() or abs(time.time() - int(at)) > TOLERANCE:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{sent}.{at}.".encode() + body, hashlib.sha256).digest()
    expected = "v1," + base64.b64encode(digest).decode()
    given = headers.get("webhook-signature", "").split(" ")
    return any(hmac.compare_digest(expected.encode(), each.encode()) for each in given)


def asked(person: str) -> str | None:
    """How a person is greeted now; None where no name may be used. Raises OSError: ask again."""
    api, token = os.environ.get("CRM_API"), os.environ.get("CRM_TOKEN")
    if not api or not token:
        return None
    call = urllib.request.Request(f"{api}/people/{person}")  # noqa: S310  (the operator's own)
    call.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(call, timeout=PATIENCE) as answer:  # noqa: S310
            return json.load(answer)["name"]
    except urllib.error.HTTPError as refusal:
        if refusal.code in (403, 404):
            return None
        raise


def take(file: str, sent: str, message: dict) -> bool:
    """Do what a message says and write down that it came; False when it came before."""
    data = message.get("data", {})
    renamed = message.get("type") in ("person.rectified", "person.resumed")
    name = asked(data["person"]) if renamed else None
    with sqlite3.connect(file, timeout=10) as known:
        try:
            known.execute("INSERT INTO seen VALUES (?, ?)", (sent, time.time()))
        except sqlite3.IntegrityError:
            return False
        match message.get("type"):
            case "visitor.arrived":
                row = (data["visit"], data["person"], data["store"], message["timestamp"])
                known.execute(
                    "INSERT OR IGNORE INTO visit SELECT ?, ?, ?, ?, ? "
                    "WHERE NOT EXISTS (SELECT 1 FROM gone WHERE person = ?)",
                    (*row, data.get("name"), data["person"]),
                )
            case "visit.retracted":
                known.execute("DELETE FROM visit WHERE id = ?", (data["visit"],))
            case "person.restricted":
                known.execute("INSERT OR IGNORE INTO paused VALUES (?)", (data["person"],))
            case "person.resumed":
                known.execute("DELETE FROM paused WHERE person = ?", (data["person"],))
                if name is not None:
                    known.execute(RENAME, (name, data["person"]))
            case "person.rectified":
                known.execute(RENAME, (name, data["person"]))
            case "person.erased":
                _forget(known, data["person"])
            case "consent.withdrawn" if data["purpose"] is None:
                _forget(known, data["person"])
            case "consent.withdrawn" if data["purpose"] in ("history", "group"):
                known.execute("DELETE FROM visit WHERE person = ?", (data["person"],))
    return True


def _forget(known: sqlite3.Connection, person: str) -> None:
    for table in ("visit", "paused"):
        known.execute(f"DELETE FROM {table} WHERE person = ?", (person,))  # noqa: S608
    known.execute("INSERT OR IGNORE INTO gone VALUES (?)", (person,))


class Receiver(BaseHTTPRequestHandler):
    """POST anywhere. The answer is a status and nothing else."""

    secret = file = ""

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > LARGEST:
            return self._answer(413)
        body = self.rfile.read(int(length))
        headers = {name.lower(): value for name, value in self.headers.items()}
        if not verified(self.secret, headers, body):
            return self._answer(401)
        try:
            first = take(self.file, headers["webhook-id"], json.loads(body))
        except (KeyError, ValueError):
            return self._answer(400)
        except OSError:
            return self._answer(503)
        # Known already: it is acknowledged again, and nothing is done twice.
        return self._answer(204 if first else 200)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Nothing of anybody belongs into a log."""


def main() -> None:
    port, Receiver.file = int(sys.argv[1]), sys.argv[2]
    Receiver.secret = os.environ["CRM_SECRET"]
    with sqlite3.connect(Receiver.file) as known:
        known.executescript(TABLES)
    with ThreadingHTTPServer(("127.0.0.1", port), Receiver) as server:
        print(f"ready on port {server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
