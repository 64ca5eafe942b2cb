"""Write breast_cancer.csv beside this file, from the copy that scikit-learn ships.

569 rows; 30 feature columns of float64 under scikit-learn's names ("mean radius" ...), then
`target`: 0 malignant, 1 benign. The file is checked in, so nothing but this script needs
scikit-learn; run it again to see that the file has not been edited by hand.
"""

from __future__ import annotations

from pathlib import Path

from sklearn.datasets import load_breast_cancer


def main() -> None:
    path = Path(__file__).with_name("breast_cancer.csv")
    load_breast_cancer(as_frame=True).frame.to_csv(path, index=False, lineterminator="\n")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
