"""Connectors: SQL databases that take part in synchronization, one-way or two-way.

``watch`` runs the pipeline in a file and gives its changes; ``open_run`` makes single passes:

    run = open_run(load_pipeline("contacts.toml"))
    report = run.sync()
"""

from .file.load import load_pipeline
from .report import Change, PassReport
from .running.feed import watch
from .running.open import open_run
from .running.run import PipelineRun

__all__ = ["Change", "PassReport", "PipelineRun", "load_pipeline", "open_run", "watch"]
