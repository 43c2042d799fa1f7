"""Why no relay was reached: what the libraries raise, in sentences with what to do about it.

Every one is retryable. A name that does not resolve, a certificate that is not trusted and a page
of HTML are all what a device meets in a train or a hotel, for every server, until it has left.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

from websockets.exceptions import InvalidProxy, InvalidStatus, InvalidURI, ProxyError

from syncline.engine.errors import RelayUnreachable

_RETRY_SECONDS = 1.0
_NO_RELAY_RETRY_SECONDS = 30.0
_MAX_RETRY_SECONDS = 3600

_PORTAL = "The network may want a login first, as in hotels and trains: open any page in a browser."
_ANSWERS = {
    401: "A proxy before the relay asks for credentials, which replicas do not send it: let it "
    "pass websockets on, and give the relay the token.",
    403: "A proxy before the relay, or the relay, lets nobody in from here: look at its log.",
    404: "Check the path of the URL, and which paths the proxy before the relay passes on.",
    511: _PORTAL,
}
_UPGRADE = "Check the URL's scheme, host and port, and that proxies between let websockets pass."


def unreachable(
    url: str, error: Exception, *, seconds: float, proxy: str | None
) -> RelayUnreachable:
    """What a failed attempt to connect to ``url`` within ``seconds`` says. ``proxy`` is the URL of
    the one that it went through, if any; its credentials are not shown."""
    through = f", through the proxy {_without_credentials(proxy)}" if proxy else ""
    match error:
        case TimeoutError():
            return RelayUnreachable(
                f"{url} did not answer within {seconds:g} seconds{through}.",
                hint="Check the network; a firewall may drop what is sent.",
                retry_after=_RETRY_SECONDS,
            )
        case socket.gaierror():
            name = "the proxy's name" if proxy else f"the name {urlsplit(url).hostname}"
            return _cannot(
                f"{url} cannot be reached{through}: {name} has no address ({_cause(error)}).",
                "Check the network, and the spelling of the name.",
            )
        case ssl.SSLCertVerificationError():
            return _cannot(
                f"{url} cannot be reached{through}: its certificate is not trusted "
                f"({error.verify_message}).",
                "Check the URL's host and this device's clock. Of an authority of your own give "
                "the certificate in the environment variable SSL_CERT_FILE.",
            )
        case ssl.SSLError():
            return _cannot(
                f"{url} cannot be reached{through}: TLS failed ({_cause(error)}).",
                "Check the URL's scheme, host and port: what answers there may speak no TLS.",
            )
        case OSError():
            return _cannot(
                f"{url} cannot be reached{through}: {_cause(error)}.",
                "Check that the relay runs, and the URL's scheme, host and port."
                if proxy is None
                else "Check that the proxy runs; ws_proxy, https_proxy and no_proxy in the "
                "environment say which one is used.",
            )
        case InvalidStatus():
            return _answered(url, error.response.status_code, error.response.headers)
        case InvalidProxy() | ProxyError() | ImportError() | ValueError() if proxy:
            # InvalidProxy shows the whole URL, password and all.
            cause = error.msg if isinstance(error, InvalidProxy) else error
            return _no_relay(
                url,
                f"the websocket handshake failed: the proxy {_without_credentials(proxy)} lets "
                f"nothing pass: {cause}",
                "Check the proxy: ws_proxy, https_proxy and no_proxy in the environment say which "
                "one is used.",
            )
        case InvalidURI():
            where = urlsplit(error.uri)
            target = f"{where.scheme}://{where.netloc.rpartition('@')[2]}"
            return _no_relay(url, f"it redirects to {target}, which is no websocket", _PORTAL)
        case _:
            return _no_relay(url, f"the websocket handshake failed: {error}", _UPGRADE)


def other_protocol(url: str, subprotocol: str) -> RelayUnreachable:
    """A websocket server answers that is no relay."""
    return _no_relay(url, f'it does not speak the subprotocol "{subprotocol}"', _UPGRADE)


def _answered(url: str, status: int, headers: Mapping[str, str]) -> RelayUnreachable:
    if (status == 429 or status >= 500) and status not in _ANSWERS:
        after = headers.get("Retry-After", "")
        seconds = min(int(after), _MAX_RETRY_SECONDS) if after.isdecimal() else _RETRY_SECONDS
        return RelayUnreachable(
            f"{url} takes no connection at present: HTTP status {status}.",
            hint="The relay, or a proxy before it, is stopping or has too much to do: try later.",
            retry_after=seconds,
        )
    is_page = headers.get("Content-Type", "").partition(";")[0].strip().lower() == "text/html"
    page = ", a web page" if is_page and status < 400 else ""
    hint = _ANSWERS.get(status, f"{_UPGRADE} {_PORTAL}" if status < 400 else _UPGRADE)
    return _no_relay(url, f"the answer is HTTP status {status}{page}", hint)


def _no_relay(url: str, problem: str, hint: str) -> RelayUnreachable:
    return RelayUnreachable(
        f"What answers at {url} is no Syncline relay: {problem}.",
        hint=hint,
        retry_after=_NO_RELAY_RETRY_SECONDS,
    )


def _cannot(message: str, hint: str) -> RelayUnreachable:
    return RelayUnreachable(message, hint=hint, retry_after=_RETRY_SECONDS)


def _cause(error: OSError) -> str:
    return (error.strerror or str(error) or type(error).__name__).rstrip(".")


def _without_credentials(proxy: str) -> str:
    scheme, divider, rest = proxy.partition("://")
    return f"{scheme}{divider}{rest.rpartition('@')[2]}"
