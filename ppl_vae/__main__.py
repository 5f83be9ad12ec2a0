r"""``python -m ppl_vae``."""

import sys

from .cli import main

sys.exit(main())
