"""Convert a checkpoint between libraries. The same as `python -m keras_videoprism convert`."""

import sys

from keras_videoprism.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["convert", *sys.argv[1:]]))
