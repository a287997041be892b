"""What the platform knows about clicks, hours, offsets and metrics. Nothing here imports dagster."""
