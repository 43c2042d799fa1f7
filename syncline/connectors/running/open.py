"""Opening a pipeline: its parts by its mode."""

from __future__ import annotations

import random

from syncline.connectors.file.spec import OneWay, TwoWay
from syncline.connectors.one_way.review import OneWayReview
from syncline.connectors.one_way.sync import OneWaySync
from syncline.connectors.one_way.systems import OneWaySystems
from syncline.connectors.two_way.authors import Authors
from syncline.connectors.two_way.review import TwoWayReview
from syncline.connectors.two_way.sync import TwoWaySync
from syncline.connectors.two_way.systems import TwoWaySystems
from syncline.engine.clock import Milliseconds
from syncline.environment import wall_clock

from .run import PipelineRun


def open_run(
    pipeline: OneWay | TwoWay,
    now: Milliseconds = wall_clock,
    rng: random.Random | None = None,
) -> PipelineRun:
    """The pipeline, ready to run. No database is connected to yet. ``rng`` draws identities, the
    system's randomness without it. Raises SystemRefused for a database that cannot take part as the
    file says."""
    rng = rng or random.SystemRandom()
    if isinstance(pipeline, OneWay):
        source_and_destination = OneWaySystems(pipeline, now, rng)
        return PipelineRun(
            source_and_destination,
            OneWaySync(source_and_destination),
            OneWayReview(source_and_destination),
        )
    systems = TwoWaySystems(pipeline, now, rng)
    authors = Authors(systems)
    return PipelineRun(systems, TwoWaySync(systems, authors), TwoWayReview(systems, authors))
