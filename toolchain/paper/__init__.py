"""`nastool paper`: the tables of the paper, measured here."""
