"""The ``clickstream`` command: options, what is printed, exit codes. Modules import what they need when they run.

No rule of the pipeline is here. ``run`` and ``stack`` are in ``local``.
"""
