"""How a budget is divided between clusters."""
