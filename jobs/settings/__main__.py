"""Check the settings and print them as JSON.

    python -m jobs.settings

`make run` does this before it starts anything.
"""

import sys

from jobs.lake.errors import UserError
from jobs.settings.tree import load_settings

try:
    print(load_settings().model_dump_json())
except UserError as error:
    sys.exit(str(error))
