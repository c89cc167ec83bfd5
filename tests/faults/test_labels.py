"""A broken labels.json beside a tampered version, under a real server: reported by its name and without harm."""

from tests.e2e.test_server_versions import (  # noqa: F401  (run here as well, so that they are in the table)
    server,
    store,
    test_all_workers_report_broken_labels_and_versions_and_change_nothing,
)
