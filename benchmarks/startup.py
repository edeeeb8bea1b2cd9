"""Start-up time of `facecli --help` beside what it can't go below: Python, and importing typer and rich.

python benchmarks/startup.py [rounds]
"""

import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import typer, rich": [sys.executable, "-c", "import typer, rich"],
    "facecli --help": [sys.executable, "-m", "facecli", "--help"],
    "facecli reconstruct --help": [sys.executable, "-m", "facecli", "reconstruct", "--help"],
}


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    best = {name: min(seconds(command) for _ in range(rounds)) for name, command in COMMANDS.items()}
    for name, value in best.items():
        print(f"{name:30s} {1000 * value:7.0f} ms   {value / best['import typer, rich']:5.2f} x")


if __name__ == "__main__":
    main()
