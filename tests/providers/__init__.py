"""Every vocabulary that ships, held against what its provider documents."""
