"""What the guarantees cost: `./dev bench` measures ratios, each within one run."""
