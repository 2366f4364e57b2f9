"""Tests of the room: what of a ledger somebody should look at."""
