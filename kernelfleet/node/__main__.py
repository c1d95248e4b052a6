"""``python -m kernelfleet.node``: a node, described by one line of JSON on standard input."""

from kernelfleet.node.serving import main

if __name__ == "__main__":
    main()
