"""Clients that hang up in the middle of their explanations, under a real server."""

from tests.e2e.test_slots_served import (  # noqa: F401  (run here as well, so that they are in the table)
    server,
    test_clients_that_leave_free_their_slots,
    test_comparisons_and_attacks_take_slots_too,
)
