"""Alerts: what of a ledger somebody should look at, judged by its own past."""
