"""The store: the SQLite file that holds a ledger."""
