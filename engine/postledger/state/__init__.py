"""State: from the events of a stream to what became of it."""
