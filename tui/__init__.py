"""The dashboard: a viewer of one master, on a terminal.

    client (asyncio) ──▶ fleet (pure model) ──▶ columns, summary (pure views) ──▶ widgets (Textual)

`formats`, `fleet`, `columns`, `summary`, `tones` and `link` know neither Textual nor an event loop.
Rules: a closed or absent master never ends the dashboard; the cost of painting depends on the size
of the screen, not of the fleet; no text from elsewhere reaches the terminal uncleaned.
"""
