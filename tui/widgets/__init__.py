"""The widgets of the dashboard: each paints `Piece`s, and repaints only those that changed."""
