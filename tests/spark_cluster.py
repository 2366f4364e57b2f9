"""Spark of one's own, for tests and benchmarks: a cluster on this machine, in a scratch folder."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

CLUSTER = "local-cluster[2,1,1024]"
"""A master and two workers with a core and an executor each, all of them processes or threads here."""


def missing() -> str | None:
    """What this machine lacks to run Spark, if anything."""
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        return "Java is not installed"
    return None if find_spec("pyspark") else "PySpark is not installed"


@contextmanager
def spark_cluster(folder: Path, master: str = CLUSTER) -> Iterator[Any]:
    """A session of its own; when it ends, so do all its processes."""
    import pyspark
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    home = folder / "home"
    home.mkdir()
    # Workers of a cluster write to where Spark is installed.
    for part in ("bin", "jars", "sbin"):
        (home / part).symlink_to(Path(pyspark.__file__).parent / part)
    settings = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.executorEnv.PYSPARK_PYTHON": sys.executable,
        "spark.local.dir": str(folder / "local"),
        "spark.log.level": "OFF",
        # Another zone than that of the archive must make no difference.
        "spark.sql.session.timeZone": "America/New_York",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    environment = {
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    with patch.dict(os.environ, environment):
        builder = SparkSession.builder.master(master).appName("postledger")
        for name, value in settings.items():
            builder = builder.config(name, value)
        session = builder.getOrCreate()
        gateway = SparkContext._gateway
        try:
            yield session
        finally:
            session.stop()
            gateway.shutdown()
            gateway.proc.stdin.close()
            gateway.proc.wait(60)
            SparkContext._gateway = SparkContext._jvm = None
