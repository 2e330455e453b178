"""How many links a master holds, and what each beat costs it: `python -m bench.density --help`."""
