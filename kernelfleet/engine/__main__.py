"""``python -m kernelfleet.engine -f FILE``: run one engine until it is told to go."""

from kernelfleet.engine.app import EngineApp

if __name__ == "__main__":
    EngineApp.launch_instance()
