"""Binary and ternary weights: one or two bits each."""
