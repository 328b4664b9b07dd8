"""Block tuning: weights that play as well from cached blocks as with full attention."""
