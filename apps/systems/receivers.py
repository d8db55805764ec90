"""Post one message to another system's address, and nowhere else.

The address was typed in by an officer, so it is not trusted: https only, no redirect is followed,
and the name is resolved once, its addresses checked, and one of these connected to, so that a name
that changes its mind in between leads nowhere. Only public addresses are reached, and networks that
the operator lists in CONSENTRY_WEBHOOK_NETWORKS; on a demo (CONSENTRY_INSECURE_HTTP) loopback too,
there also by http. What is answered is not read beyond its status, nor kept, nor logged.
"""

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Mapping
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

# For connecting, and for each wait on the socket; a try takes no longer than TOGETHER, without the
# look-up of the name, which the system's resolver bounds.
SECONDS, TOGETHER = 5.0, 10.0

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class NotAllowed(ValueError):
    """No message goes to this address. The sentence is for whoever typed it in."""


class Unreachable(OSError):
    """It could not be delivered; `code` is one word of why, and nothing of what was answered."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class _Plain(http.client.HTTPConnection):
    """A connection to an address that was chosen before."""

    def __init__(self, host: str, port: int, address: Address) -> None:
        super().__init__(host, port, timeout=SECONDS)
        self.address = address

    def connect(self) -> None:
        self.sock = socket.create_connection((str(self.address), self.port), self.timeout)


class _Secure(_Plain):
    """The same inside TLS, for the name that the certificate must bear."""

    def connect(self) -> None:
        super().connect()
        context = ssl.create_default_context()
        self.sock = context.wrap_socket(self.sock, server_hostname=self.host)


def check(url: str) -> str:
    """Return the address as it is kept. Raises NotAllowed; it does not ask the network."""
    try:
        parts = urlsplit(url.strip())
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise NotAllowed(_("This is no web address.")) from None
    if not host or not url.isascii() or len(url) > 240 or any(sign <= " " for sign in url.strip()):
        raise NotAllowed(_("This is no web address."))
    if parts.username or parts.password or parts.fragment:
        raise NotAllowed(_("An address with a log-in or a # in it is not taken."))
    if parts.scheme != "https" and not (parts.scheme == "http" and _at_home(host)):
        raise NotAllowed(_("The address must begin with https://"))
    literal = _literal(host)
    if literal is not None and not reachable(literal):
        raise NotAllowed(
            _("This address is inside a network that CONSENTRY_WEBHOOK_NETWORKS does not list.")
        )
    return url.strip()


def reachable(address: Address) -> bool:
    """Whether a message may go there."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if address.is_loopback and settings.CONSENTRY.insecure_http:
        return True
    if any(address in network for network in settings.CONSENTRY.networks):
        return True
    # Ways into IPv4 networks, and what was private once: Python calls them global.
    if isinstance(address, ipaddress.IPv6Address) and (address.is_site_local or address.sixtofour):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """Post a body; the status of the answer. Raises Unreachable."""
    try:
        check(url)
        parts = urlsplit(url)
        host = parts.hostname or ""
        kind = _Secure if parts.scheme == "https" else _Plain
        port = parts.port or (443 if kind is _Secure else 80)
        connection = kind(host, port, _resolve(host, port))
    except NotAllowed:
        raise Unreachable("address") from None
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    late = threading.Event()
    ended = threading.Timer(TOGETHER, _hang_up, [connection, late])
    ended.daemon = True
    ended.start()
    try:
        connection.request("POST", path, body, dict(headers))
        status = connection.getresponse().status
        if late.is_set():
            # It looks as if the other side had said everything.
            raise TimeoutError
        return status
    except TimeoutError:
        raise Unreachable("timeout") from None
    except ssl.SSLError:
        raise Unreachable("tls") from None
    except ConnectionRefusedError:
        raise Unreachable("refused") from None
    except (OSError, http.client.HTTPException, ValueError):
        raise Unreachable("timeout" if late.is_set() else "connection") from None
    finally:
        ended.cancel()
        connection.close()


def _hang_up(connection: _Plain, late: threading.Event) -> None:
    """End a try that drips on and on."""
    late.set()
    held = connection.sock
    if held is not None:
        try:
            held.shutdown(socket.SHUT_RDWR)
        except OSError:
            return


def _resolve(host: str, port: int) -> Address:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Unreachable("name") from None
    addresses = [ipaddress.ip_address(each[4][0]) for each in found]
    allowed = [address for address in addresses if reachable(address)]
    # One that is not allowed beside one that is: somebody tries something.
    if not allowed or len(allowed) < len(addresses):
        raise Unreachable("address")
    return allowed[0]


def _at_home(host: str) -> bool:
    literal = _literal(host)
    loopback = literal.is_loopback if literal else host == "localhost"
    return loopback and settings.CONSENTRY.insecure_http


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
