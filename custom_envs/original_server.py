"""Server process for original.py: steps gym 0.17.2's CarRacing-v0 through a pipe, on that gym's Python.

Requests on stdin: "R" and a seed (int64), or "A" and an action (3 float64). Responses on stdout: reward (float64), done
(1 byte), frame (64 x 64 x 3 bytes).
"""

import os
import struct
import sys

responses = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)  # redirect what gym prints to stderr, away from the responses


def main():
    import gym
    import gym.envs.box2d.car_racing as original
    import numpy as np

    gym.logger.set_level(40)  # errors
    original.STATE_W = original.STATE_H = 64
    env, requests = original.CarRacing(verbose=0), sys.stdin.buffer
    while True:
        kind = requests.read(1)
        reward, done = 0.0, False
        if kind == b"R":
            (seed,) = struct.unpack("<q", requests.read(8))
            env.close()
            env = original.CarRacing(verbose=0)  # the order of a Box2D world's contacts depends on its history
            env.np_random = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
            frame = env.reset()
        elif kind == b"A":
            frame, reward, done, _ = env.step(np.array(struct.unpack("<3d", requests.read(24))))
        else:
            return
        responses.write(struct.pack("<d?", reward, done) + frame.tobytes())
        responses.flush()


if __name__ == "__main__":
    try:
        main()
    except Exception as error:  # no gym, no display, a broken pipe: original.py reports that the process has ended
        sys.exit(f"{sys.argv[0]}: {' '.join(str(error).split())}")
