"""The service around a ledger: who may post, the receiver, and how it is run; extra ``server``."""
