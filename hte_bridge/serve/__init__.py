"""The process that R's package `htebridge` talks to: ``python -m hte_bridge.serve``.

JSON lines on stdin and stdout, columns in Parquet files of the session's temporary folder. R grows the forest in the
user's own session: the forest engine's calls to R travel back over the same line, so R is never started inside R.
"""
