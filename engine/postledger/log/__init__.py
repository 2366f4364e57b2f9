"""The event log: append-only, gapless, chained by hashes, in one SQLite file.

``entry`` is what is appended, ``shapes`` how bodies are kept, ``chain`` what the hashes cover,
``schema`` the file format, ``connection`` how the file is opened, ``sqlite`` the log itself.
"""
