"""A provider's invoice, held against the deliveries of the ledger."""
