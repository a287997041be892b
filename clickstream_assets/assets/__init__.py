"""The assets, by the step that writes them: connect, do, report. What they do is one call into ``domain``."""
