"""Train from Python, see what is mistaken for what, name the action in one video.

    python examples/train_from_python.py [DATA]

DATA is a folder with one sub-folder per action; without it, a synthetic set is made.
"""

import sys

import gerund


def main(data: str) -> None:
    done = gerund.train(data, backbone="pixels", head="transformer", num_frames=12, epochs=20)
    assert done.test is not None
    for row in done.test.per_class:
        print(
            f"{row['label']:16s} {row['clips']:3d} clips  {row['accuracy']:.0%}  mostly taken for: {row['mistaken_for'] or '-'}"
        )

    recognizer = gerund.Recognizer.load(done.model)
    clip = done.test.clips[0]
    print(f"{clip.path.name} is {clip.label}; the answer is:")
    for answer in recognizer(clip.path, top_k=3):
        print(f"  {answer['label']}  {answer['score']:.1%}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "toy")
