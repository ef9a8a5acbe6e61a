"""`nastool runs`: all runs in a folder, from their files; nothing heavy is imported."""
