"""One module per screen; each paints what the feed holds, and nothing else holds state."""
