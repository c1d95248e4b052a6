"""``python -m kernelfleet.engine -f FILE``: run one engine until it is told to go."""

from kernelfleet.engine import prebuilt

if __name__ == "__main__":
    prebuilt.launch()
