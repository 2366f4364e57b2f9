"""The statecharts and vocabularies that ship with Postledger: TOML, no code."""
