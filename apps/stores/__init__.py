"""Organizations, stores, their cameras, tablets and people, and the law each store lives under."""
