"""Definitions: from TOML to what a ledger folds by."""
