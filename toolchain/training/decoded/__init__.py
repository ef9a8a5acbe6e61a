"""Decoded images on disk: each file is decoded once, and later epochs and commands read pixels."""
