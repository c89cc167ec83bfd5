"""The protocols of others, spoken by their own clients and checked against their own servers' answers."""
