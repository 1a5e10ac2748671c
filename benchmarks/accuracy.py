"""Does adapting help? Accuracy, calibration and cost of every strategy, measured through the service's engine.

    python benchmarks/accuracy.py table --data npz:DATA/tiny_imagenet/val.npz --data npz:DATA/cifar10/test.npz
    python benchmarks/accuracy.py table --data imagenet_a:DATA --model ViT-B-16-quickgelu --pretrained openai --count 0
    python benchmarks/accuracy.py drift --data npz:DATA/cifar10/test.npz
    python benchmarks/accuracy.py tune --data "tail30:DATA/tiny_imagenet/train-*.npz"
    python benchmarks/accuracy.py teach --data npz:DATA/cifar10/test.npz     # with a person's lessons
    python benchmarks/accuracy.py sums --data npz:DATA/cifar10/test.npz      # of another site's lessons
    python benchmarks/accuracy.py confidence --data npz:DATA/cifar10/test.npz   # can one act on it?
    python benchmarks/accuracy.py judge --data npz:DATA/cifar10/test.npz     # of `tta-service advise`
    python benchmarks/accuracy.py why --data npz:DATA/cifar10/test.npz       # experiments that explain the table
    python benchmarks/accuracy.py control --data npz:DATA/cifar10/test.npz   # worlds in which adapting must help

Pictures go through the image tower once for every set, shift, severity and reduction; the features are kept and
replayed through the engine, one stream for each strategy and order, 500 pictures a cell by default. What is there is
not made again: a run that was stopped goes on where it was, and the table is written after every cell. Every answer
stands beside the zero-shot answer of the same frame under the same text prototypes. The parts are in the folder
benchmarks/accuracy.
"""

from __future__ import annotations

import sys

from benchmarks.accuracy.command import main

if __name__ == "__main__":
    sys.exit(main(about=__doc__ or ""))
