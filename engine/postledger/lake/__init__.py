"""The lake: whole logs as columns, for questions that ask all of them."""
