"""A tablet without a screen: enrols, signs its requests, and remembers cookies.

For the story, the benchmarks and the tests; it speaks exactly as `device.js` does.
"""

import base64
import hashlib
import http.cookiejar
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, whatever its status."""

    status: int
    body: bytes
    headers: dict[str, str]

    def json(self) -> Any:
        return json.loads(self.body)


class Browser:
    """A client of one origin with cookies and Django's CSRF token; proxies are never used."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.waited = 0.0
        """Seconds that this client waited for answers, all together."""
        self.cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self.cookies)
        )

    def open(
        self, path: str, data: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Any:
        """Open a path and return the raw response, for streams."""
        request = urllib.request.Request(  # noqa: S310
            self.origin + path, data=data, headers={"Referer": self.origin, **(headers or {})}
        )
        return self._opener.open(request, timeout=30)

    def request(
        self, path: str, data: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """GET, or POST when there is data. An error status is an answer, not an exception."""
        begun = time.monotonic()
        try:
            with self.open(path, data, headers) as response:
                return Answer(response.status, response.read(), dict(response.headers))
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read(), dict(error.headers))
        finally:
            self.waited += time.monotonic() - begun

    def form(self, path: str, **fields: str) -> Answer:
        """POST a form with the CSRF token of this browser's cookie."""
        fields["csrfmiddlewaretoken"] = self.csrf
        return self.request(path, urllib.parse.urlencode(fields).encode())

    @property
    def csrf(self) -> str:
        return next((str(c.value) for c in self.cookies if c.name == "csrftoken"), "")


class Tablet(Browser):
    """An enrolled tablet, of a kiosk or a door. Its key lives as long as this object."""

    def __init__(self, origin: str, language: str = "en", kind: str = "kiosk") -> None:
        super().__init__(origin)
        self.kind = kind
        self.language = language
        self.device = ""
        self._nonce = ""
        self._key = ec.generate_private_key(ec.SECP256R1())

    def enroll(self, code: str) -> Answer:
        """Trade the one-time code for a device of the store."""
        self.request(f"/{self.kind}/")
        numbers = self._key.public_key().public_numbers()
        jwk = {
            "kty": "EC",
            "crv": "P-256",
            "x": _base64(numbers.x.to_bytes(32)),
            "y": _base64(numbers.y.to_bytes(32)),
        }
        answer = self.request(
            f"/{self.kind}/enroll/",
            json.dumps({"code": code, "jwk": jwk}).encode(),
            {"Content-Type": "application/json", "X-CSRFToken": self.csrf},
        )
        if answer.status == 200:
            self.device = answer.json()["device"]
        return answer

    def signed(self, path: str, body: bytes, content_type: str = "application/json") -> Answer:
        """POST a body signed over a fresh nonce."""
        if not self._nonce:
            self._nonce = self.request(
                f"/{self.kind}/nonce/",
                b"{}",
                {"Content-Type": "application/json", "X-CSRFToken": self.csrf},
            ).json()["nonce"]
        headers = self.headers_for(path, body, self._nonce)
        answer = self.request(path, body, {**headers, "Content-Type": content_type})
        self._nonce = answer.headers.get("Consentry-Nonce", "")
        return answer

    def headers_for(self, path: str, body: bytes, nonce: str) -> dict[str, str]:
        """Return the headers that prove this device sends this body with this nonce."""
        message = "\n".join((nonce, "POST", path, hashlib.sha256(body).hexdigest())).encode()
        r, s = decode_dss_signature(self._key.sign(message, ec.ECDSA(hashes.SHA256())))
        return {
            "Consentry-Device": self.device,
            "Consentry-Nonce": nonce,
            "Consentry-Signature": _base64(r.to_bytes(32) + s.to_bytes(32)),
            "Consentry-Language": self.language,
        }


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
