"""Publish a preset with its model card. The same as `python -m keras_videoprism publish`."""

import sys

from keras_videoprism.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["publish", *sys.argv[1:]]))
