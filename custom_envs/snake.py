"""Snake on 20 x 20 cells. docs/your_environment.md builds this file, in its order."""

import gymnasium as gym
import numpy as np

SIZE = 20  # cells per side
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))  # up, right, down, left: row and column


class Snake(gym.Env):
    """A snake that eats, grows, and must run neither into the wall nor into itself; it ignores the way back."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 (as Gymnasium declares it)
    observation_space = gym.spaces.Box(0, 255, (64, 64, 3), np.uint8)
    action_space = gym.spaces.Discrete(4)

    direction: int  # of the last move
    body: list[tuple[int, int]]  # row and column of its cells, the head first
    food: tuple[int, int]

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def step(self, action):
        """Move the head by one cell: food is a reward of 1, a step toward it 0.1, a step away -0.1, the end -1."""
        if (action - self.direction) % 4 != 2:
            self.direction = int(action)
        down, right = MOVES[self.direction]
        head = (self.body[0][0] + down, self.body[0][1] + right)
        eats = head == self.food
        rest = self.body if eats else self.body[:-1]
        if head in rest or min(head) < 0 or max(head) >= SIZE:
            return self.render(), -1.0, True, False, {}
        nearer = self.distance(self.body[0]) - self.distance(head)
        self.body = [head, *rest]
        full = len(self.body) == SIZE**2
        if eats and not full:
            self.place_food()
        return self.render(), eats + 0.1 * nearer, full, False, {}

    def distance(self, cell):
        """The steps from a cell to the food."""
        return abs(cell[0] - self.food[0]) + abs(cell[1] - self.food[1])

    def reset(self, *, seed=None, options=None):
        """Start with three cells, somewhere around the middle."""
        super().reset(seed=seed)
        self.direction = int(self.np_random.integers(4))
        row, column = self.np_random.integers(5, SIZE - 5, 2).tolist()
        down, right = MOVES[self.direction]
        self.body = [(row - i * down, column - i * right) for i in range(3)]
        self.place_food()
        return self.render(), {}

    def place_food(self):
        """Put food into a cell that is free."""
        cells = [(row, column) for row in range(SIZE) for column in range(SIZE)]
        free = [cell for cell in cells if cell not in self.body]
        self.food = free[self.np_random.integers(len(free))]

    def render(self):
        """The frame, uint8 (64, 64, 3): cells of 3 x 3 pixels, and light above and to the left of head and food."""
        frame = np.zeros((64, 64, 3), np.uint8)
        frame[2:62, 2:62] = 70
        for (row, column), channel in ((self.food, 0), (self.body[0], 2)):
            frame[2 : 2 + 3 * row, 2:62, channel] += 60
            frame[2:62, 2 : 2 + 3 * column, channel] += 60
        for row, column in self.body:
            frame[pixels(row), pixels(column)] = (60, 170, 60)
        for (row, column), color in ((self.food, (230, 60, 60)), (self.body[0], (60, 90, 230))):
            frame[pixels(row), pixels(column)] = color
        return frame


def pixels(i):
    """The pixels of a row or a column of cells."""
    return slice(2 + 3 * i, 5 + 3 * i)
