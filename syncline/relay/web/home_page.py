"""The relay's web page: what it is, and how to connect. Also the health check."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from syncline.transports import HttpReply

from .static_files import StaticFiles

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
<p>Browser editors that speak Yjs connect to the same address, with y-websocket or Hocuspocus:</p>
<pre><code>new WebsocketProvider("{url}/crm", "pages/welcome", doc)
new HocuspocusProvider({{ url: "{url}/crm", name: "pages/welcome", document: doc }})</code></pre>
<p><code>GET /healthz</code> answers 200 while the relay takes connections.</p>
</body>
</html>
"""


def connect_snippet(url: str, *, token: bool = False) -> str:
    """Python that connects to the relay at ``url``, with a token from the environment or not."""
    imports = "import asyncio\nimport os\n" if token else "import asyncio\n"
    secret = 'TOKEN = os.environ["SYNCLINE_TOKEN"]\n' if token else ""
    passed = "relay=RELAY, token=TOKEN" if token else "relay=RELAY"
    return f"""\
{imports}from syncline import Record, Replica

RELAY = "{url}/crm"
{secret}
class Contact(Record, collection="contacts"):
    name: str

async def main() -> None:
    async with Replica.open("phone.db", models=[Contact], {passed}) as replica:
        replica.collection(Contact).create(name="Ada Lovelace")
        await replica.synced()

asyncio.run(main())
"""


class HomePage:
    """Answers plain HTTP requests to the relay's port: with ``static`` files, if there are any, and
    else with a page about the relay. ``token`` says whether the relay asks for one."""

    def __init__(
        self, url: Callable[[], str], *, token: bool = False, static: StaticFiles | None = None
    ) -> None:
        self._url = url
        self._token = token
        self._static = static

    def answer(self, path: str) -> HttpReply | None:
        """The reply for ``path``, or None for a path that there is not."""
        if path == "/healthz":
            return HttpReply(200, "text/plain; charset=utf-8", b"ok\n")
        if self._static is not None:
            return self._static.answer(path)
        if path == "/":
            url = self._url()
            snippet = connect_snippet(url, token=self._token)
            text = _TEMPLATE.format(url=escape(url), snippet=escape(snippet))
            return HttpReply(200, "text/html; charset=utf-8", text.encode())
        return None
