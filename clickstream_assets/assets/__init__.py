"""The assets, a module for each step (``raw_clicks`` writes ``dead_letters`` too): connect, do, report.

What a step does is in ``ingest``, ``enrich``, ``metrics`` and ``index``; whether it came out right is in ``checks``.
"""
