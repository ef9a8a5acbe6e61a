"""`nastool report`: one page, document or model card about a run, and the check of its figures."""
