"""The service around a ledger: who may post, the receiver, how it is run, and what is sent on."""
