"""`nastool quickstart`: all stages in one command."""
