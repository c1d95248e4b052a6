"""``python -m kernelfleet.node``: a node, described by one line of JSON on standard input."""

from kernelfleet.node.beginning import begin

if __name__ == "__main__":
    spec = begin()
    from kernelfleet.node.serving import main

    main(spec)
