"""Definitions: from TOML to what a ledger folds by."""

from postledger.definitions.chart_toml import load_chart
from postledger.definitions.definitions import (
    Definitions,
    builtin,
    check,
    define,
    from_sources,
    load,
    providers,
    shipped,
    sources,
)
from postledger.definitions.vocabulary_toml import load_vocabulary

__all__ = [
    "Definitions",
    "builtin",
    "check",
    "define",
    "from_sources",
    "load",
    "load_chart",
    "load_vocabulary",
    "providers",
    "shipped",
    "sources",
]
