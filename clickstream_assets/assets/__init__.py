"""The assets, by the step that writes them: connect, do, report. What they do is a call into the step's package."""
