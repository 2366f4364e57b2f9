"""What the words of providers mean that are read where they are chosen: a TOML file each."""
