"""Sessions of Spark: how one is started quietly, and what its errors mean."""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from tempfile import TemporaryFile

from postledger import errors
from postledger.errors import IntegrityError, LedgerError, PostledgerError, requires

NEEDED = "a fold by Spark requires PySpark and pandas", "'pyspark>=4' 'pandas>=2.2,<3'"
try:
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException, PythonException
    from pyspark.sql import SparkSession
except ImportError:
    raise requires(*NEEDED) from None

_RAISED = re.compile(r"^postledger\.errors\.(\w+): (.*)$", re.M)
_QUIET = {
    "spark.log.level": "OFF",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}


@contextmanager
def session() -> Iterator[SparkSession]:
    """A quiet session, configured as Spark is here; by default it uses all cores of this machine.

    Raises ``PostledgerError`` where Java is missing, ``LedgerError`` where Spark can't be started.
    """
    if shutil.which("java") is None and not os.environ.get("JAVA_HOME"):
        raise PostledgerError("Spark requires Java 17 or newer, such as openjdk-17-jre-headless")
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("postledger")
    for name, value in _QUIET.items():
        builder = builder.config(name, value)
    interrupting = signal.getsignal(signal.SIGINT)
    with _aside("Spark can't be started"):
        made = builder.getOrCreate()
    if threading.current_thread() is threading.main_thread():
        # Spark's own answer to an interrupt asks Java over the connection in use; to stop is enough.
        signal.signal(signal.SIGINT, interrupting)
    # A run that is ended loses its connection to Java, which py4j logs as the root.
    logged = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield made
    finally:
        with suppress(Py4JError, OSError):
            made.stop()
        logging.disable(logged)


@contextmanager
def plain_errors() -> Iterator[None]:
    """What workers raised, as they raised it: ``IntegrityError`` with the name of the file.

    Whatever else fails in Spark is a ``LedgerError`` of one line, with Spark's error as its cause.
    """
    try:
        yield
    except (PySparkException, Py4JError) as error:
        raised = _RAISED.findall(str(error))
        if raised:
            name, line = raised[-1]
            kind = getattr(errors, name, LedgerError)
            raise (kind if kind in (IntegrityError, PostledgerError) else LedgerError)(
                line
            ) from None
        lines = str(error).strip().splitlines() or [repr(error)]
        # Python's traceback ends with what happened, Java's begins with it.
        line = lines[-1 if isinstance(error, PythonException) else 0]
        raise LedgerError(f"Spark failed: {line}") from error


@contextmanager
def _aside(what: str) -> Iterator[None]:
    """Keep what is printed to stderr meanwhile away; where that fails, its last line is the error."""
    own = os.dup(2)
    with TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        except Exception as error:
            said.seek(0)
            lines = said.read().decode("utf-8", "replace").strip().splitlines()
            raise LedgerError(f"{what}: {lines[-1] if lines else error}") from error
        finally:
            os.dup2(own, 2)
            os.close(own)
