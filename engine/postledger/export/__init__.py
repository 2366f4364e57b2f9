"""Export: logs as files."""
