"""Pictures and frames a second of `facecli reconstruct`, beside MediaPipe alone in a plain loop.

    python benchmarks/throughput.py FOLDER VIDEO

The plain loop reads and detects, nothing else; facecli also reconstructs, textures, renders and writes. What the
command takes for a single picture (imports, starting MediaPipe) is given by itself and left out of the rates.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2


def plain_loop(images) -> tuple[int, float]:
    """Number of pictures and seconds of MediaPipe in a loop, its start not counted."""
    import mediapipe as mp
    import numpy as np

    with mp.solutions.face_mesh.FaceMesh(static_image_mode=True, refine_landmarks=True, max_num_faces=10) as mesh:
        mesh.process(np.zeros((64, 64, 3), np.uint8))
        start, count = time.perf_counter(), 0
        for image in images:
            mesh.process(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
            count += 1
        return count, time.perf_counter() - start


def folder_images(folder: Path):
    for path in sorted(folder.iterdir()):
        image = cv2.imread(str(path))
        if image is not None:
            yield image


def video_images(path: Path):
    capture = cv2.VideoCapture(str(path))
    while True:
        ok, image = capture.read()
        if not ok:
            return
        yield image


def facecli_seconds(*arguments: str) -> float:
    """The whole command, start and imports included."""
    with tempfile.TemporaryDirectory() as output:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "facecli", "reconstruct", *arguments, "-o", output, "-q"], check=False)
        return time.perf_counter() - start


def main() -> None:
    folder, video = Path(sys.argv[1]), Path(sys.argv[2])
    sample = Path(__file__).parents[1] / "assets/astronaut.png"
    start = min(facecli_seconds(str(sample), "--save", "codes") for _ in range(3))
    print(f"start-up: {start:.1f} s")
    for name, source, images in (
        ("pictures", folder, folder_images(folder)),
        ("frames", video, video_images(video)),
    ):
        count, alone = plain_loop(images)
        print(f"{count} {name}; MediaPipe in a plain loop: {count / alone:.1f} a second")
        for words in ((), ("--save", "codes"), ("--save", "codes,json,overlay")):
            seconds = max(facecli_seconds(str(source), *words) - start, 1e-3)
            label = " ".join(words) or "(all that is saved by default)"
            print(f"  facecli reconstruct {label:34s} {count / seconds:6.1f} a second, {alone / seconds:5.2f} x")


if __name__ == "__main__":
    main()
