"""Write examples/thornton_hiv.csv once, from the data inside causaldata; R and Python both read that file."""

from pathlib import Path

from hte_bridge.demo import thornton_hiv

COLUMNS = ["got", "any", "age", "distvct", "hiv2004", "villnum"]

if __name__ == "__main__":
    thornton_hiv()[COLUMNS].to_csv(Path(__file__).parent / "thornton_hiv.csv", index=False)
