"""Loss landscapes and the paths of optimizers: rules, surfaces, real networks, and how fast each one gets down."""
