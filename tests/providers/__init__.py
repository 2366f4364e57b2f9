"""Every vocabulary that ships, checked against what its provider documents."""
