"""The page that shows results and data sets in a browser: what it is told, its server, and its export as a folder.

``session`` holds what is read, ``worker`` computes beside it in another process, ``answers`` is what the page asks for,
``pictures`` gives frames, ``server`` and ``export`` bring all that to a browser; ``static`` is the page itself.
"""
from pathlib import Path

#: Files of the page.
STATIC = Path(__file__).with_name('static')
