"""The ledger: what programs embed."""
