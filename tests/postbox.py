"""A mail server of one test: it takes what is sent by SMTP (RFC 5321), refuses, or goes silent."""

import email
import email.policy
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage

from pydantic import SecretStr
from pytest_django.fixtures import Settings


class Postbox(socketserver.ThreadingTCPServer):
    """`taken` is what it took; `asked` is set once a message was about to be handed over."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, *, silent: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Talk)
        self.taken: list[EmailMessage] = []
        self.unknown: set[str] = set()
        self.silent = silent
        self.asked = threading.Event()
        self.ended = threading.Event()

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.server_address[1]}"


class _Talk(socketserver.StreamRequestHandler):
    server: Postbox

    def handle(self) -> None:
        self._say(220, "ready")
        for line in self.rfile:
            verb, _, rest = line.decode().strip().partition(" ")
            address = rest.partition("<")[2].rstrip(">")
            match verb.upper():
                case "RCPT" if address in self.server.unknown:
                    self._say(550, "nobody here")
                case "DATA":
                    self.server.asked.set()
                    if self.server.silent:
                        self.server.ended.wait()
                        return
                    self._say(354, "go on")
                    self._take()
                    self._say(250, "taken")
                case "QUIT":
                    self._say(221, "bye")
                    return
                case _:
                    self._say(250, "fine")

    def _take(self) -> None:
        lines: list[bytes] = []
        while (line := self.rfile.readline().rstrip(b"\r\n")) != b".":
            lines.append(line.removeprefix(b"."))
        self.server.taken.append(
            email.message_from_bytes(b"\n".join(lines), policy=email.policy.default)
        )

    def _say(self, code: int, words: str) -> None:
        self.wfile.write(f"{code} {words}\r\n".encode())


@contextmanager
def postbox(**how: bool) -> Iterator[Postbox]:
    """A mail server that runs with the block."""
    with Postbox(**how) as box:
        thread = threading.Thread(target=box.serve_forever)
        thread.start()
        try:
            yield box
        finally:
            box.ended.set()
            box.shutdown()
            thread.join()


def by_mail(settings: Settings, url: str) -> None:
    """Have this house send its e-mail as CONSENTRY_MAIL_URL says; empty: not at all."""
    given = {"mail_url": SecretStr(url) if url else None, "mail_from": "store@harbour.example"}
    settings.CONSENTRY = settings.CONSENTRY.model_copy(update=given)
    mail = settings.CONSENTRY.mail
    settings.EMAIL_BACKEND = mail.backend
    settings.EMAIL_HOST, settings.EMAIL_PORT = mail.host, mail.port
    settings.DEFAULT_FROM_EMAIL = given["mail_from"]
