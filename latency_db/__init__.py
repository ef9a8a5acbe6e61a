"""What was measured, on what, with what. Knows no torch and no runtime."""
