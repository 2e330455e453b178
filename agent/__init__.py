"""The daemon on every host: beats, measures, and keeps its link to a master."""
