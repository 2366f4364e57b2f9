"""The provider's side, for tests and demonstrations: what it tells of a message, and how, as TOML."""
