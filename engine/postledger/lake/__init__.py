"""The lake: a ledger as Parquet in a folder, for questions about whole logs.

``folder`` is where the files are, ``layout`` what stands in each, ``rows`` what Python has of them.
``writing`` makes an archive, ``files`` reads one, ``lake`` one or several as one, ``statements`` reads
the events again by any definitions, ``folding`` folds and compares, ``changes`` says what events
changed, ``verification`` verifies. ``columnar`` picks rows from ``columns``, of ``distinct`` events of
streams that run ``alike``; ``spark`` folds with many processes. The fold is that of ``state``.
"""
