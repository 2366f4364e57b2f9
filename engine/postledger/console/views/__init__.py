"""Views: what the pages show, read from the ledger and masked."""
