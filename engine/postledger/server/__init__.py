"""The service around the ledger: what comes in over HTTP, and what goes out."""
