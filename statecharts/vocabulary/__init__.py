"""What the words of each provider mean: one TOML file per provider."""
