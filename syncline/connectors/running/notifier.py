"""The notifier: posts changes to webhooks, oldest first, until they have answered."""

from __future__ import annotations

import urllib.error
import urllib.request
from urllib.parse import urlsplit

from syncline.connectors.bookkeeping.schema import has_state
from syncline.connectors.bookkeeping.webhook_queue import Posting, WebhookQueue
from syncline.connectors.database.system import System
from syncline.connectors.file.spec import Notify

from .run import PipelineRun

CHANGES_AT_ONCE = 100
"""Changes in one request."""
ANSWER_SECONDS = 10.0
"""How long a webhook may take to answer."""


class Notifier:
    """Tells the webhooks of a pipeline. Blocking; one thread at a time.

    A request is a POST of ``{"pipeline": name, "changes": [...]}`` as JSON, each change with
    ``system``, ``name``, ``key``, ``kind``, ``fields`` and ``at``. What is answered with 2xx has
    been told; anything else is posted again later. A webhook may be told of a change twice, after
    a crash.
    """

    def __init__(self, run: PipelineRun) -> None:
        self._run = run
        self._name = run.pipeline.name
        self._notify = run.pipeline.notify

    def deliver(self) -> list[str]:
        """Post what waits; returns what went wrong, by webhook. Raises SystemUnavailable,
        SystemRefused."""
        failures: dict[str, None] = {}
        for system in self._run.systems.values():
            with system.reading() as connection:
                if not has_state(connection):
                    continue
            for notify in self._notify:
                if failure := self._deliver(system, notify):
                    failures[failure] = None
        return list(failures)

    def _deliver(self, system: System, notify: Notify) -> str | None:
        while True:
            with system.reading() as connection:
                postings = WebhookQueue(connection, self._name).waiting(notify, CHANGES_AT_ONCE)
            if not postings:
                return None
            if failure := self._post(notify, postings):
                return failure
            with system.writing() as connection:
                WebhookQueue(connection, self._name).delete(postings)

    def _post(self, notify: Notify, postings: list[Posting]) -> str | None:
        changes = b",".join(posting.change for posting in postings)
        body = b'{"pipeline":"' + self._name.encode() + b'","changes":[' + changes + b"]}"
        request = urllib.request.Request(  # noqa: S310 (the pipeline file allows http and https)
            notify.url,
            body,
            {"Content-Type": "application/json", "User-Agent": "syncline"},
            method="POST",
        )
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS):  # noqa: S310
                return None
        except urllib.error.HTTPError as error:
            error.close()
            reason = f"it answered {error.code} {error.reason}"
        except (OSError, ValueError) as error:
            # A URLError's reason is an OSError; both may name a host, but no path.
            reason = str(getattr(error, "reason", error))
        # Its path may hold a secret.
        url = urlsplit(notify.url)
        return f"The webhook {url.scheme}://{url.hostname} was not told of changes: {reason}."
