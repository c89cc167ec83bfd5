"""Commands that write, move or vouch for stored versions: label, push, pull, sign."""
