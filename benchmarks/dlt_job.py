"""The same copy by dlt (https://dlthub.com), for benchmarks/pipelines.py, in a process of its own.

python benchmarks/dlt_job.py first|increment SOURCE_URL DESTINATION_URL SINCE BACKEND FOLDER

Prints the seconds that ``pipeline.run`` took, without imports.
"""

from __future__ import annotations

import sys
import time
from importlib import import_module
from typing import Any


def main() -> None:
    # By name: type checkers look at this file where dlt is not installed.
    dlt: Any = import_module("dlt")
    sql_table: Any = import_module("dlt.sources.sql_database").sql_table
    step, source, destination, since, backend, folder = sys.argv[1:]
    pipeline = dlt.pipeline(
        "customers",
        pipelines_dir=folder,
        destination=dlt.destinations.postgres(destination),
        dataset_name="by_dlt",
    )
    table = sql_table(
        source,
        "customers",
        backend=backend,
        primary_key="id",
        incremental=dlt.sources.incremental("updated_at", initial_value=since)
        if step == "increment"
        else None,
    )
    begin = time.perf_counter()
    pipeline.run(table, write_disposition="merge" if step == "increment" else "replace")
    print(time.perf_counter() - begin)


if __name__ == "__main__":
    main()
