"""The protocols of others, as their own clients and specifications speak them."""
