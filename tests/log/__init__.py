"""Tests of the log's parts."""
