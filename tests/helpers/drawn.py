"""Effects and curves of three engines, for the pictures that draw them."""

import numpy as np
import pandas as pd

ENGINES = ("feols", "grf", "deep")
N, SEED = 300, 1


def cates(rng):
    x = rng.normal(size=N)
    frames = {}
    for engine in ENGINES:
        estimate = np.tanh(x) + rng.normal(0, 0.05, N)
        frames[engine] = pd.DataFrame(
            {"estimate": estimate, "conf_low": estimate - 0.2, "conf_high": estimate + 0.2}
        )
    return frames, x


def curve(x):
    at = np.linspace(0.05, 1, 30)
    parts = [
        pd.DataFrame(
            {x: at, "estimate": 1 - at, "conf_low": 0.8 - at, "conf_high": 1.2 - at, "random": 0.1 * at}
        )
    ]
    return pd.concat([part.assign(engine=engine) for engine in ENGINES for part in parts])


FRAMES, X = cates(np.random.default_rng(SEED))
