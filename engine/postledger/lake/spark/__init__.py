"""Spark: archives folded by many processes; ``work`` is what they do, ``session`` where they run."""

from postledger.lake.spark.session import plain_errors, session
from postledger.lake.spark.work import differences, fold, replay

__all__ = ["differences", "fold", "plain_errors", "replay", "session"]
