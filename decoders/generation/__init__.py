"""Pictures drawn from what was decoded: schedules, samplers, denoisers, and generators made of them."""
