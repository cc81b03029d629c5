"""The quality of a store: figures, and the page that shows them."""
