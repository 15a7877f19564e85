"""One run: what it begins with, how it is started in one process or several, and what came of it."""
