"""Signed webhooks, sent and checked: Standard Webhooks 1.0.0, symmetric signatures (v1).

It decides what an attempt was worth: acknowledged, failed, to be tried again later, or the end of this address. When to try again is
the deliver stage's business. The surprise: nothing of the answer's text gets into `why`, and no exception's text either: a receiver
may echo what it was sent, and an address may hold a token.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import ipaddress
import re
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from types import TracebackType
from typing import Self
from weakref import WeakValueDictionary

import aiohttp
import msgspec
import yarl
from aiohttp.abc import AbstractResolver, ResolveResult

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
TOLERANCE_SECONDS = 300  # what the reference libraries use; the specification says "some allowable tolerance"
_SECRET_PREFIX = "whsec_"  # noqa: S105  (the word before a secret, not a secret)
_KEY_BYTES_MIN, _KEY_BYTES_MAX = 24, 64  # "at least 24 bytes (192 bits, 512 maximum)"
# The signed content is id.timestamp.body: a full stop in the id would let one message pass for another.
_ID = re.compile(r"[\x21-\x2d\x2f-\x7e]{1,256}")
_SECONDS = re.compile(r"[0-9]{1,12}")

# --- signatures -----------------------------------------------------------------------------------------------------------------


class InvalidSecret(ValueError):
    """A secret that cannot sign; the text does not hold it."""


class NotVerified(Exception):
    """A webhook that must not be believed. An exception, so that nobody forgets to look at a result."""


def sign(secrets: Sequence[str], webhook_id: str, timestamp_seconds: int, body: bytes) -> str:
    """The `webhook-signature` header: one signature per secret, so that a receiver may hold the old or the new one.

    `timestamp_seconds`: Unix time of this attempt. Raises InvalidSecret, and ValueError for an id that cannot be signed safely.
    """
    if not _ID.fullmatch(webhook_id):
        raise ValueError("a webhook id is 1 to 256 visible ASCII characters without a full stop")
    if not secrets:
        raise InvalidSecret("no webhook secret to sign with: settings, section subscribers")
    return " ".join(_signature(_key(secret), webhook_id, str(timestamp_seconds), body) for secret in secrets)


def verify(
    secrets: Sequence[str], headers: Mapping[str, str], body: bytes, *, now_seconds: float, tolerance_seconds: float = TOLERANCE_SECONDS
) -> str:
    """The webhook id, if one signature in the headers was made with one of the secrets over exactly these bytes and just now.

    Raises NotVerified otherwise. The caller keeps the ids it has seen for longer than the tolerance: within it a replay still verifies.
    """
    given = {name.lower(): value for name, value in headers.items()}
    webhook_id, timestamp, signatures = (given.get(name, "") for name in (ID, TIMESTAMP, SIGNATURE))
    if not _ID.fullmatch(webhook_id) or not _SECONDS.fullmatch(timestamp):
        raise NotVerified("the webhook's id or timestamp is missing or malformed")
    if abs(now_seconds - int(timestamp)) > tolerance_seconds:
        raise NotVerified(f"the timestamp is more than {tolerance_seconds:g} s away from now: a replay, or a clock that is wrong")
    expected = [_signature(_key(secret), webhook_id, timestamp, body).encode() for secret in secrets]
    offered = [signature.encode("utf-8", "replace") for signature in signatures.split(" ")]
    # No early end and no plain ==: the time it takes must not tell how much of a forged signature was right.
    if not sum(hmac.compare_digest(ours, theirs) for ours in expected for theirs in offered):
        raise NotVerified("no signature fits: another secret, or the body was changed")
    return webhook_id


def _signature(key: bytes, webhook_id: str, timestamp: str, body: bytes) -> str:
    digest = hmac.digest(key, f"{webhook_id}.{timestamp}.".encode() + body, "sha256")
    return "v1," + base64.b64encode(digest).decode()


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(_SECRET_PREFIX) or not _KEY_BYTES_MIN <= len(key) <= _KEY_BYTES_MAX:
        raise InvalidSecret(f"a webhook secret is {_SECRET_PREFIX} and the base64 of {_KEY_BYTES_MIN} to {_KEY_BYTES_MAX} bytes")
    return key


# --- one attempt ----------------------------------------------------------------------------------------------------------------

TIMEOUT_SECONDS = 15.0  # "between 15 and 30s"
IN_FLIGHT_MAX = 16  # per address: enough to hide the way there and back, too few to flood a department's server
# Idle connections are dropped before the receiver does it (gunicorn 2 s, uvicorn and Node 5 s): a POST into a connection that is just
# being closed fails although the receiver is well.
KEEP_ALIVE_SECONDS = 1.0
# The longest step of the retry schedule. A receiver may ask for a pause, not for being forgotten.
RETRY_AFTER_SECONDS_MAX = 24 * 3600.0
CONTENT_TYPE = "application/cloudevents+json"  # receivers of CloudEvents go by it; receivers of plain webhooks read the body as it is

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class PushResult(msgspec.Struct, frozen=True):
    """`status`: HTTP, None if there was no answer. `retry_after_seconds`: the receiver's wish. `disable`: 410, it wants no more.

    `why`: one line for receipts and screens; never holds personal data, the body, a secret or the address.
    """

    status: int | None
    acknowledged: bool
    retry_after_seconds: float | None
    disable: bool
    why: str


class WebhookPusher:
    """Pushes signed bodies; one for all subscribers of a process. Use it within one event loop, and close it.

    `networks`: where pushes may go, checked on the addresses that are really connected to, names resolved; None: anywhere. A list of
    what is allowed, since receivers are in private networks, so "not into private networks" cannot be the rule (SSRF).
    `tls`: own certificate authorities; the default trusts the system's.
    """

    def __init__(
        self,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        in_flight_max: int = IN_FLIGHT_MAX,
        networks: Sequence[Network] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._in_flight_max = in_flight_max
        self._networks = networks
        self._tls = tls
        self._places: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def push(
        self,
        url: str,
        secrets: Sequence[str],
        webhook_id: str,
        timestamp_seconds: int,
        body: bytes,
        *,
        timeout_seconds: float | None = None,
    ) -> PushResult:
        """One attempt. Returns within the timeout, the wait for a free place at this address included: so the signed time stays fresh.

        Whatever the world does is a result. Raises only what `sign` raises, before anything is sent.
        """
        headers = {
            ID: webhook_id,
            TIMESTAMP: str(timestamp_seconds),
            SIGNATURE: sign(secrets, webhook_id, timestamp_seconds, body),
            "Content-Type": CONTENT_TYPE,
            "User-Agent": "sync-engine",
        }
        address = _http_address(url)
        if address is None:
            return _failed(_NO_ADDRESS)
        if not self._allowed(address.host or ""):
            return _failed(_NOT_ALLOWED)
        limit = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        end = asyncio.get_running_loop().time() + limit
        place = self._places.setdefault(url, asyncio.Semaphore(self._in_flight_max))
        try:
            # Half of the time at most: what is then sent has a fair chance of an answer, and is not given up as soon as it arrived.
            async with asyncio.timeout(limit / 2):
                await place.acquire()
        except TimeoutError:
            return _failed(f"not sent: {self._in_flight_max} others are waiting for this receiver")
        try:
            async with asyncio.timeout_at(end):
                return await self._post(address, headers, body, timestamp_seconds)
        except TimeoutError:
            return _failed(f"no answer within {limit:g} s")
        except aiohttp.ClientError as error:
            return _failed(_why(error))
        finally:
            place.release()

    async def _post(self, address: yarl.URL, headers: Mapping[str, str], body: bytes, now_seconds: int) -> PushResult:
        async with self._open().post(address, data=body, headers=headers, allow_redirects=False) as answer:
            # The answer's body is not read: it says nothing to us, and it might never end.
            return _result(answer.status, answer.headers.get("Retry-After"), now_seconds)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=0,  # the places are counted per address: a receiver that hangs must not take the places of the others
                keepalive_timeout=KEEP_ALIVE_SECONDS,
                resolver=_CheckedResolver(self._allowed),
                ssl=True if self._tls is None else self._tls,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # one limit for all of it, in `push`
                cookie_jar=aiohttp.DummyCookieJar(),  # no receiver's cookie goes to another
                auto_decompress=False,
                trust_env=False,  # personal data does not go through a proxy that happens to be in the environment
            )
        return self._session

    def _allowed(self, host: str) -> bool:
        """Whether a literal address may be connected to; a name passes here and is checked when it is resolved."""
        if self._networks is None:
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return True
        plain = getattr(address, "ipv4_mapped", None) or address
        return any(plain in network for network in self._networks)


_NO_ADDRESS = "the address is no http or https URL: correct it in the settings"
_NOT_ALLOWED = "the receiver's address is outside the allowed networks: correct the address or the list in the settings"


class _AddressNotAllowed(OSError):
    pass


class _CheckedResolver(AbstractResolver):
    """Resolves a name to its allowed addresses only; aiohttp connects to one of just these, so no second look-up can differ."""

    def __init__(self, allowed: Callable[[str], bool]) -> None:
        self._allowed, self._resolver = allowed, aiohttp.ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        try:
            found = await self._resolver.resolve(host, port, family)
        except UnicodeError:  # a label that is empty or too long; aiohttp expects an OSError
            raise OSError("not a host name") from None
        allowed = [entry for entry in found if self._allowed(entry["host"])]
        if not allowed:
            raise _AddressNotAllowed
        return allowed

    async def close(self) -> None:
        await self._resolver.close()


def _http_address(url: str) -> yarl.URL | None:
    try:
        address = yarl.URL(url)
    except ValueError:
        return None
    return address if address.scheme in ("http", "https") and address.host else None


_STATUS_WORDS = {
    410: "the receiver wants no more of this: it is asked again in an hour",
    429: "the receiver asks for a slower pace",
    502: "the receiver's proxy does not reach it",
    503: "the receiver is not ready",
    504: "the receiver's proxy waits too long for it",
}

_ERROR_WORDS: tuple[tuple[type[aiohttp.ClientError], str], ...] = (  # the first that fits
    (aiohttp.InvalidURL, _NO_ADDRESS),
    (aiohttp.ClientConnectorDNSError, "the receiver's name does not resolve"),
    (aiohttp.ClientConnectorCertificateError, "the receiver's certificate is not trusted"),
    (aiohttp.ClientSSLError, "no TLS connection could be made"),
    (aiohttp.ClientConnectorError, "no connection: refused, or no way there"),
    (aiohttp.ServerDisconnectedError, "the connection was closed without an answer"),
    (aiohttp.ClientOSError, "the connection was reset"),
    (aiohttp.ClientResponseError, "the answer is not HTTP"),
    (aiohttp.ClientError, "the request failed"),
)


def _why(error: aiohttp.ClientError) -> str:
    if isinstance(error.__cause__, _AddressNotAllowed):
        return _NOT_ALLOWED
    return next(words for kind, words in _ERROR_WORDS if isinstance(error, kind))


def _failed(why: str) -> PushResult:
    return PushResult(status=None, acknowledged=False, retry_after_seconds=None, disable=False, why=why)


def _result(status: int, retry_after: str | None, now_seconds: int) -> PushResult:
    acknowledged = 200 <= status < 300
    if acknowledged:
        why = f"{status}: acknowledged"
    elif 300 <= status < 400:
        why = f"{status}: redirects are not followed; put the new address into the settings"
    else:
        why = f"{status}: {_STATUS_WORDS.get(status) or _phrase(status)}"
    wish = None if acknowledged else _retry_after_seconds(retry_after, now_seconds)
    return PushResult(status=status, acknowledged=acknowledged, retry_after_seconds=wish, disable=status == 410, why=why)


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "no known status"


def _retry_after_seconds(header: str | None, now_seconds: int) -> float | None:
    """Seconds from now; None if the header is missing or nonsense. RFC 9110: a number of seconds or a date."""
    if header is None:
        return None
    if _SECONDS.fullmatch(header):
        seconds = float(header)
    else:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - now_seconds
        except ValueError:
            return None
    return min(max(seconds, 0.0), RETRY_AFTER_SECONDS_MAX)
