"""The MDN-RNN (M): see rnn/arch.py."""
