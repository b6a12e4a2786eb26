"""Scenes on which our frames are compared with v0's, and the golden file with some of v0's frames.

ORIGINAL_GYM_PYTHON=original-gym/bin/python python tests/original/scenes.py    # writes tests/golden/original.npz
"""

import argparse
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from custom_envs.car_racing import CarRacing

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "original.npz"
KEPT = {"straight": (0, 12, 70), "corner": (60, 110, 150, 199), "grass": (90, 150, 199), "spin": (90, 130, 149)}


def replay_original(scenes: Path) -> dict[str, np.ndarray]:
    """Frames and rewards of v0 for every scene of a file: see replay.py."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.npz"
        display = ["xvfb-run", "-a", "-s", "-screen 0 1400x900x24"]
        subprocess.run([*display, sys.executable, ROOT / "tests" / "original" / "replay.py", scenes, out], check=True)
        with np.load(out, allow_pickle=False) as file:
            return dict(file)


def pursuit(env, target_speed: float) -> np.ndarray:
    """An action that follows the road: steer to the point eight tiles ahead, hold a speed (world units per second)."""
    track, hull = np.array(env.track), env.car.hull
    nearest = int(np.hypot(*(track[:, 2:] - hull.position).T).argmin())
    x, y = track[(nearest + 8) % len(track), 2:] - hull.position
    error = math.remainder(math.atan2(-x, y) - hull.angle, 2 * math.pi)
    speed = hull.linearVelocity.length
    return np.array([np.clip(-1.5 * error, -1, 1), float(speed < target_speed), 0.3 * (speed > 1.2 * target_speed)])


def make_scenes() -> dict[str, tuple[int, np.ndarray]]:
    """Scene name -> (environment seed, actions (steps, 3) float32)."""
    env, corner = CarRacing(), []
    env.reset(seed=11)
    for _ in range(200):
        corner.append(pursuit(env, 45).astype(np.float32))
        env.step(corner[-1])
    coast, left, full = (0.0, 0.0, 0.0), (-0.4, 0.3, 0.0), (0.0, 1.0, 0.0)
    return {
        "straight": (12, np.array([full] * 60 + [(0, 0, 0.5)] * 40, np.float32)),
        "corner": (11, np.stack(corner)),
        "grass": (13, np.array([full] * 60 + [left] * 40 + [coast] * 30 + [(0.3, 0.4, 0)] * 70, np.float32)),
        "spin": (14, np.array([full] * 70 + [(1, 1, 0)] * 50 + [(-1, 0, 0.9)] * 30, np.float32)),
    }


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    scenes = {}
    for name, (seed, actions) in make_scenes().items():
        scenes |= {f"{name}_seed": np.array(seed), f"{name}_tape": actions}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scenes.npz"
        np.savez(path, **scenes)
        original = replay_original(path)
    for name, kept in KEPT.items():
        scenes[f"{name}_kept"] = np.array(kept)
        scenes[f"{name}_frames"] = original[f"{name}_frames"][list(kept)]
        scenes[f"{name}_rewards"] = original[f"{name}_rewards"]
    np.savez_compressed(GOLDEN, **scenes)
    print(f"{GOLDEN}: {GOLDEN.stat().st_size} bytes")


if __name__ == "__main__":
    main()
