"""Module -> file -> something that runs. Knows no architecture search."""
