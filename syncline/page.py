"""The relay's web page: what it is, and how to connect. Also the health check."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from syncline.transports import HttpReply

_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Syncline relay</title>
<style>
body {{ max-width: 42rem; margin: 4rem auto; padding: 0 1.5rem; line-height: 1.6;
       font-family: system-ui, sans-serif; color: #1d2433; background: #fbfbfd; }}
h1 {{ font-size: 1.6rem; margin-bottom: .25rem; }}
p.state {{ margin-top: 0; color: #1a7f4b; }}
pre {{ background: #f0f2f7; padding: 1rem 1.25rem; border-radius: .5rem; overflow-x: auto; }}
code {{ font-family: ui-monospace, monospace; font-size: .92rem; }}
@media (prefers-color-scheme: dark) {{
  body {{ color: #e6e9f0; background: #14171f; }} pre {{ background: #1f2430; }}
  p.state {{ color: #5ad19a; }}
}}
</style>
</head>
<body>
<h1>Syncline relay</h1>
<p class="state">Running at <code>{url}</code></p>
<p>Records written on one device arrive on every other. Connect from Python; the last part of the
address names the workspace:</p>
<pre><code>{snippet}</code></pre>
<p><code>GET /healthz</code> answers 200 while the relay takes connections.</p>
</body>
</html>
"""


def connect_snippet(url: str) -> str:
    """Python that connects to the relay at ``url``."""
    return f"""\
import asyncio
from syncline import Record, Replica

RELAY = "{url}/crm"

class Contact(Record, collection="contacts"):
    name: str

async def main() -> None:
    async with Replica.open("phone.db", models=[Contact], relay=RELAY) as replica:
        replica.collection(Contact).create(name="Ada Lovelace")
        await replica.synced()

asyncio.run(main())
"""


class Page:
    """Answers plain HTTP requests to the relay's port."""

    def __init__(self, url: Callable[[], str]) -> None:
        self._url = url

    def answer(self, path: str) -> HttpReply | None:
        """The reply for ``path``, or None for a path that this page does not have."""
        if path == "/healthz":
            return HttpReply(200, "text/plain; charset=utf-8", b"ok\n")
        if path == "/":
            url = self._url()
            text = _TEMPLATE.format(url=escape(url), snippet=escape(connect_snippet(url)))
            return HttpReply(200, "text/html; charset=utf-8", text.encode())
        return None
