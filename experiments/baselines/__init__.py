"""Other agents on the same tracks: a random agent, Deep Q-Learning, a genetic algorithm."""
