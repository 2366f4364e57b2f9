"""Stores: the file, or a server, that holds a ledger."""
