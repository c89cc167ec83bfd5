"""Clients that harm: slow, vanishing or many at once, and what they send: rubbish, mutations and generated pictures."""
