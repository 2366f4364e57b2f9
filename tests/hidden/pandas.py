"""Hides pandas, which Spark alone needs, from the processes that tests start.

sqlite-utils imports it where it is installed. That takes longer than everything else at the start of a
command, and the tests start thousands; most users don't have it. Where PySpark runs, it is there.
"""

import sys
from importlib import import_module
from pathlib import Path

if "pyspark" not in sys.modules:
    raise ModuleNotFoundError("No module named 'pandas'", name="pandas")

# The import system takes the module that stands here when this one ends.
sys.path.remove(str(Path(__file__).parent))
del sys.modules["pandas"]
import_module("pandas")
